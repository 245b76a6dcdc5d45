from jobs.models.policies import SchedulePolicy

__all__ = ["SchedulePolicy"]
