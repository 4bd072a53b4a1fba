"""Arrays, files, devices, versions, caches: nothing here knows of faces."""
