"""From measured runs to the sentences, tables and figures of each page."""
