"""Reading the settings for a command: what is wrong with the environment is said in our words."""

import os
from pathlib import Path

from pydantic import ValidationError

from stepsize.environment import PREFIX, misspelt_variables
from stepsize.settings import Settings
from stepsize.spec.wording import pydantic_words


class WrongSettingsError(ValueError):
    """A `STEPSIZE_` variable is wrong, or there is no such setting; says each."""


def read_settings(data_dir: Path | None = None) -> Settings:
    """Return the environment's settings, with the command's data directory where it names one.

    Raises:
        WrongSettingsError: some are wrong.
    """
    wrong = misspelt_variables(os.environ, Settings.model_fields)
    try:
        settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as error:
        wrong += [
            f"{PREFIX}{str(each['loc'][0]).upper()}: {pydantic_words(each['type'], each.get('ctx', {}), each['msg'])}"
            for each in error.errors(include_url=False)
        ]
    if wrong:
        raise WrongSettingsError("; ".join(wrong))
    return settings
