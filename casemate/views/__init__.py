"""Views: functions from native tables to OCSF event classes, one file per source."""
