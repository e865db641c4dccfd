"""JSON pointers (RFC 6901): how a client is told which field is wrong."""


def pointer(*parts: str | int) -> str:
    """Return the pointer to a place in a JSON document; no parts: the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
