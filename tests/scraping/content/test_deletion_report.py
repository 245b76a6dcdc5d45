"""The report tells what was purged, why and how soon, and how far verification is behind."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from scraping.models import DeletionReceipt

pytestmark = pytest.mark.django_db(transaction=True)


class TestTheReport:
    @pytest.fixture
    def purges(self):
        now = datetime(2026, 2, 1, 12, tzinfo=UTC)
        DeletionReceipt.objects.bulk_create(
            DeletionReceipt(
                fullname=f"t3_{n}",
                kind="post",
                reason="deleted",
                seen_at=now - timedelta(seconds=n),
                purged_at=now + timedelta(days=n),
                parts=["title"],
            )
            for n in range(3)
        )

    def run(self, capsys, *arguments):
        call_command("deletion_report", *arguments)
        return capsys.readouterr().out

    def test_counts_and_times(self, purges, capsys, collected):
        report = json.loads(self.run(capsys, "--json"))
        (row,) = report["purges"]
        assert (row["reason"], row["purged"]) == ("deleted", 3)
        assert row["longest_seconds"] == 2 * 86_400 + 2
        assert row["p50_seconds"] == 86_401
        assert report["oldest_unverified_hours"] is not None
        assert report["overdue"] == 0

    def test_the_span_is_asked_for(self, purges, capsys):
        report = json.loads(
            self.run(capsys, "--json", "--since", "2026-02-02", "--until", "2026-02-03T00:00")
        )
        assert [row["purged"] for row in report["purges"]] == [1]

    def test_forms(self, purges, capsys):
        assert self.run(capsys, "--csv").splitlines()[1].startswith("deleted,post,3,")
        assert "Deleted" in self.run(capsys) or "deleted" in self.run(capsys)
        lines = self.run(capsys, "--receipts", "--json").splitlines()
        assert [json.loads(line)["fullname"] for line in lines] == ["t3_0", "t3_1", "t3_2"]
        assert self.run(capsys, "--receipts").splitlines()[0] == (
            "fullname,kind,reason,seen_at,purged_at,parts"
        )

    @pytest.mark.parametrize("arguments", [("--json", "--csv"), ("--since", "yesterday")])
    def test_bad_arguments(self, arguments):
        from django.core.management.base import CommandError

        with pytest.raises(CommandError):
            call_command("deletion_report", *arguments)
