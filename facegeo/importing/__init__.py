"""Releases of other projects, downloaded and converted. Converting needs the extra ``[torch]``."""
