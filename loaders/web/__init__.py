"""From a URL to a file on disk: guard → connection → fetching → robots, sitemaps, downloads."""
