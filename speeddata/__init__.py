"""SpeedData: a toolbox of composable commands for live telemetry."""

__version__ = "0.1.0"
