"""Work that can wait, at half the price: jobs that live in a SQLite file and go through the providers' batch lanes.

from frugal_plugins.batch import BatchJobs, BatchSettings
jobs = BatchJobs(recipe, "frugal-batch.sqlite", BatchSettings(window_hours=24))
job = jobs.add(rows)          # nothing is sent yet
jobs.run(job)                 # submits, waits, harvests; call it again after any crash
for result in jobs.results(job): ...
"""

from frugal_plugins.batch.jobs import BatchJobs
from frugal_plugins.batch.reading import JobStatus, RowResult
from frugal_plugins.batch.rows import NewRow
from frugal_plugins.batch.settings import BatchSettings

__all__ = ["BatchJobs", "BatchSettings", "JobStatus", "NewRow", "RowResult"]
