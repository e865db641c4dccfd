"""The process in which a heavy sampler asks: a replica of the job's search that follows it and answers.

Started as `stepsize_workers.sampling.replica CONNECTION_FD`, tied to its worker: the kernel kills it
(PR_SET_PDEATHSIG), and its pipe closes.
"""

import sys
from multiprocessing.connection import Connection
from typing import assert_never

from stepsize.spec.resolved import ResolvedJobSpec
from stepsize_workers.sampling.asker import Answer, Ask, Closed, Discarded, Message, Opened, Restored, Warmed
from stepsize_workers.search import Proposal, Search


class Replica:
    """The search as the worker has it, with the heavy sampler inside."""

    def __init__(self, job_id: str, spec: ResolvedJobSpec) -> None:
        self._search = Search(job_id, spec, asks_here=True)
        self._drawn: dict[int, Proposal] = {}

    def heed(self, message: Message) -> Answer | None:
        """Follow what has happened, or answer an ask."""
        match message:
            case Warmed():
                self._search.warm(message.trials)
            case Restored():
                self._search.restore(message.trials, [])
            case Opened():
                drawn = self._drawn.pop(message.ask, None) if message.ask is not None else None
                entered = Proposal(dict(message.params), study_attrs=message.study_attrs)
                self._search.open(message.number, drawn or entered)
            case Closed():
                self._search.close(message.number, message.state, message.values, reason=message.reason)
            case Discarded():
                self._discard(message.ask)
            case Ask():
                return self._answer(message.number)
            case _:
                assert_never(message)
        return None

    def _answer(self, number: int) -> Answer:
        self._discard(number)  # asked again for the same trial
        proposal = self._search.propose(number)
        if proposal is None:
            return Answer(number, None, {})
        self._drawn[number] = proposal
        return Answer(number, proposal.params, proposal.study_attrs)

    def _discard(self, ask: int) -> None:
        if drawn := self._drawn.pop(ask, None):
            self._search.discard(drawn)


def main(connection_fd: int) -> None:
    """Answer until the worker closes the pipe."""
    connection: Connection = Connection(connection_fd)
    try:
        replica = Replica(*connection.recv())
        while True:
            if answer := replica.heed(connection.recv()):
                connection.send(answer)
    except EOFError:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
