"""The names of the files in a run's folder."""

CONFIG_FILE = "config.yaml"
OVERRIDES_FILE = "overrides.yaml"
RESULT_FILE = "result.json"
LOG_FILE = "run.log"
