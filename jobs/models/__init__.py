from jobs.models.batches import Batch, BatchRun
from jobs.models.dead_letters import DeadLetter
from jobs.models.policies import SchedulePolicy

__all__ = ["Batch", "BatchRun", "DeadLetter", "SchedulePolicy"]
