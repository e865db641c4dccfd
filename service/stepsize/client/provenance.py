"""What a job's trials came from, as the service sends it."""

from pydantic import Field

from stepsize.client.answers import Answer
from stepsize.spec.provenance import differences
from stepsize.spec.wording import counted


class Provenance(Answer):
    """The code, the packages and the machine that trials ran with; what isn't known is None."""

    trainer: str | None = None
    trainer_version: str | None = None
    source_hash: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    device: str | None = None
    driver: str | None = None
    python: str | None = None
    platform: str | None = None

    def lines(self) -> list[str]:
        """Return what is known, a line each."""
        commit = self.git_commit and self.git_commit[:12] + (" and changes since" if self.git_dirty else "")
        version = self.trainer_version and f" {self.trainer_version}"
        known = {
            "trainer": self.trainer and f"{self.trainer}{version or ''}",
            "source": self.source_hash,
            "commit": commit,
            "packages": ", ".join(f"{name} {told}" for name, told in self.packages.items()),
            "ran on": self.device and f"{self.device}{f', {self.driver}' if self.driver else ''}",
            "python": self.python and f"{self.python}{f' on {self.platform}' if self.platform else ''}",
        }
        return [f"{name}: {told}" for name, told in known.items() if told]


class ProvenanceShare(Answer):
    """Those of a job's trials that came from the same."""

    id: str
    n_trials: int
    first_trial: int
    provenance: Provenance

    def __repr__(self) -> str:
        n_trials = counted(self.n_trials, "trial")
        return f"<ProvenanceShare {n_trials} from {self.first_trial} on: {'; '.join(self.provenance.lines())}>"


class JobProvenance(Answer):
    """What a job's trials came from, and where that differs."""

    items: list[ProvenanceShare]
    differences: dict[str, list[str]] = Field(default_factory=dict)

    def __repr__(self) -> str:
        unlike = "; ".join(f"{name}: {', '.join(values)}" for name, values in self.differences.items())
        return f"<JobProvenance, {len(self.items)} of them; {f'differs in {unlike}' if unlike else 'nothing differs'}>"

    def differences_with(self, *others: "JobProvenance") -> dict[str, list[str]]:
        """Return where any trials of this job and of others differ: field (a package as `packages.NAME`) → values."""
        return differences([share.provenance for job in (self, *others) for share in job.items])

    def of(self, provenance_id: str | None) -> Provenance | None:
        """Return what a trial came from, by its `provenance`; None: that isn't known."""
        return next((share.provenance for share in self.items if share.id == provenance_id), None)
