"""Tokens are good once, for their time, and for the password they were issued under."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from accounts import tokens
from accounts.models import PasswordResetToken, RefreshToken
from jobs import registry
from jobs.tasks import delete_expired_tokens
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

STRONG = "another correct horse"


@pytest.fixture
def user():
    return UserFactory()


def refused(token):
    with pytest.raises(tokens.InvalidToken):
        tokens.rotate_refresh(token)
    return True


class TestRefreshTokens:
    def test_one_gives_the_next_and_is_spent(self, user):
        first = tokens.issue_refresh(user)

        found, second = tokens.rotate_refresh(first)

        assert found == user
        assert second != first
        assert tokens.rotate_refresh(second)[0] == user

    def test_only_a_digest_is_stored(self, user):
        token = tokens.issue_refresh(user)

        stored = str(list(RefreshToken.objects.values()))
        assert token not in stored
        assert len(token) >= 43

    def test_one_that_is_used_twice_ends_its_family(self, user):
        first = tokens.issue_refresh(user)
        _, second = tokens.rotate_refresh(first)
        other = tokens.issue_refresh(user)

        assert refused(first)

        assert refused(second)
        assert tokens.rotate_refresh(other)

    def test_of_two_at_once_one_wins(self, user):
        token = tokens.issue_refresh(user)
        together, ends = threading.Barrier(2), []

        def use():
            together.wait(30)
            try:
                tokens.rotate_refresh(token)
                ends.append("good")
            except tokens.InvalidToken:
                ends.append("refused")
            finally:
                connection.close()

        threads = [threading.Thread(target=use) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert sorted(ends) == ["good", "refused"]

    @pytest.mark.parametrize("token", ["", "guessed", "\0", "ü" * 500])
    def test_one_that_nobody_issued(self, token):
        assert refused(token)

    def test_one_that_has_expired(self, user, settings):
        token = tokens.issue_refresh(user)
        row = RefreshToken.objects.get()
        assert row.expires_at - row.created_at >= timedelta(days=settings.REFRESH_TOKEN_DAYS - 1)
        RefreshToken.objects.update(expires_at=timezone.now())

        assert refused(token)

    def test_whose_user_was_deactivated_or_got_another_password(self, user):
        token = tokens.issue_refresh(user)
        type(user).objects.update(is_active=False)
        assert refused(token)

        type(user).objects.update(is_active=True)
        user.refresh_from_db()
        user.set_password(STRONG)
        user.save()
        assert refused(token)

    def test_logging_out_ends_the_family(self, user):
        first = tokens.issue_refresh(user)
        _, second = tokens.rotate_refresh(first)

        assert tokens.revoke_refresh(second) == 1
        assert refused(second)
        assert tokens.revoke_refresh("guessed") == 0

    def test_all_of_a_user_end_together_and_no_others(self, user):
        mine, others = tokens.issue_refresh(user), tokens.issue_refresh(UserFactory())

        assert tokens.revoke_all(user) == 1
        assert refused(mine)
        assert tokens.rotate_refresh(others)


class TestPasswordResets:
    def test_a_new_password_once(self, user):
        token, refresh = tokens.issue_password_reset(user), tokens.issue_refresh(user)

        assert tokens.reset_password(token, STRONG) == user

        user.refresh_from_db()
        assert user.check_password(STRONG)
        assert refused(refresh)
        with pytest.raises(tokens.InvalidToken):
            tokens.reset_password(token, PASSWORD)

    def test_a_weak_one_does_not_spend_the_token(self, user):
        token = tokens.issue_password_reset(user)

        with pytest.raises(ValidationError):
            tokens.reset_password(token, "123")

        assert tokens.reset_password(token, STRONG)

    def test_a_later_request_ends_an_earlier_one(self, user):
        first, second = tokens.issue_password_reset(user), tokens.issue_password_reset(user)

        with pytest.raises(tokens.InvalidToken):
            tokens.reset_password(first, STRONG)
        assert tokens.reset_password(second, STRONG)

    def test_a_refresh_token_resets_nothing(self, user):
        with pytest.raises(tokens.InvalidToken):
            tokens.reset_password(tokens.issue_refresh(user), STRONG)


class TestCleanup:
    def test_expired_ones_are_removed_in_batches_and_no_others(self, user):
        good = tokens.issue_refresh(user)
        for _ in range(5):
            tokens.issue_refresh(user)
        tokens.issue_password_reset(user)
        late = timezone.now() - timedelta(seconds=1)
        RefreshToken.objects.exclude(digest=tokens._digest(good)).update(expires_at=late)
        PasswordResetToken.objects.update(expires_at=late)

        assert tokens.delete_expired(batch_size=2) == 6
        assert tokens.delete_expired(batch_size=2) == 0
        assert tokens.rotate_refresh(good)

    def test_a_used_one_stays_until_it_expires(self, user):
        first = tokens.issue_refresh(user)
        _, second = tokens.rotate_refresh(first)

        assert delete_expired_tokens() == 0

        assert refused(first)
        assert refused(second)

    def test_is_scheduled_every_hour_on_its_queue(self):
        row = PeriodicTask.objects.get(name="delete-expired-tokens")

        assert (row.task, row.queue, row.enabled) == (
            "accounts.delete_expired_tokens",
            "cleanup",
            True,
        )
        assert (row.crontab.minute, row.crontab.hour) == ("45", "*")
        assert registry.find(row.task)
