"""Settings: environment variables with the prefix STEPSIZE_."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where data lives and how patient to be. Every field is an environment variable: STEPSIZE_ plus its name."""

    model_config = SettingsConfigDict(env_prefix="STEPSIZE_", frozen=True, use_attribute_docstrings=True)

    database_url: str = ""
    """SQLAlchemy URL: `sqlite:///…` or `postgresql+psycopg://…`; empty: SQLite in the data directory."""
    data_dir: Path = Path("stepsize-data")
    """Database (SQLite), artifacts, logs, checkpoints and data sets; shared by API and workers."""
    lease_s: float = Field(default=30.0, ge=0.01, le=86_400)
    """Seconds after which an unrenewed lease may be taken over; renewed every third of it."""
    slots: int | None = Field(default=None, ge=1)
    """Slots of a worker; null: one per GPU, or one per CPU core up to two and one per four beyond eight."""
    trainers: str = ""
    """Comma-separated Python modules that define more trainers (read by workers)."""
    commands: Path | None = None
    """A TOML or YAML file with programs that workers offer as trainers; null: none."""
    memory_limit_bytes: int | None = Field(default=None, ge=1)
    """What a training process may use; null: what the device has free."""
    allowed_hosts: str = Field(default="", pattern=r"^[\w.*\[\]:, -]*$")
    """Comma-separated names by which clients reach the API, beside loopback's and the address it listens on."""
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    """Largest request body accepted."""
    max_dataset_bytes: int = Field(default=1 << 31, ge=1024)
    """Largest data set accepted, as uploaded and unpacked."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: str) -> str:
        if not re.match(r"$|sqlite(\+pysqlite)?:///.|postgresql(\+psycopg)?://", url):
            raise ValueError("write sqlite:////path/to.db or postgresql+psycopg://user:password@host/database")
        return url

    @property
    def url(self) -> str:
        """The database URL with its default filled in."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'stepsize.db').resolve()}"

    @property
    def host_names(self) -> list[str]:
        """The names in `allowed_hosts`."""
        return [name.strip() for name in self.allowed_hosts.split(",") if name.strip()]

    def make_data_dir(self) -> None:
        """Make the data directory, unless it is there: for this user alone, it holds data sets, models and logs."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def trainer_modules(self) -> list[str]:
        """The modules named in `trainers`, and the file named in `commands`."""
        modules = [module.strip() for module in self.trainers.split(",") if module.strip()]
        return modules if self.commands is None else [*modules, str(self.commands.resolve())]
