"""What is typed for a bot is understood, or refused with the value and how to mend it."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.models import BotConfig
from bots.validation import (
    AGGREGATES,
    clean_crontab,
    clean_subreddits,
    clean_terms,
    compile_pattern,
    split_lines,
    split_names,
)
from tests.factories import BotFactory, RedditAppFactory

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in AGGREGATES
)


def fault_of(call, *args):
    with pytest.raises(ValidationError) as refused:
        call(*args)
    return " ".join(refused.value.messages)


class TestSubreddits:
    @pytest.mark.parametrize(
        ("typed", "name"),
        [
            ("python", "python"),
            ("r/Python", "Python"),
            ("/r/python", "python"),
            ("/r/python/", "python"),
            ("R/python", "python"),
            ("https://www.reddit.com/r/Python/", "Python"),
            ("http://old.reddit.com/r/python", "python"),
            ("reddit.com/r/python", "python"),
            ("www.reddit.com/r/python?sort=new", "python"),
            ("https://www.reddit.com/r/python/#top", "python"),
            ("reddit.com", "reddit.com"),
            ("r/reddit.com", "reddit.com"),
            ("u_someone", "u_someone"),
            ("u_a-very-long-name_23chars", None),
            ("u_spez_and-others_20char", "u_spez_and-others_20char"),
            ("2x", "2x"),
            (" python ", "python"),
        ],
    )
    def test_names_are_taken_bare_with_prefix_and_as_links(self, typed, name):
        if name is None:
            assert f"“{typed}”" in fault_of(clean_subreddits, [typed])
        else:
            assert clean_subreddits([typed]) == [name]

    @pytest.mark.parametrize(
        "typed", ["", "a", "py thon", "py-thon", "_python", "ü" * 5, "x" * 22, "r/", "a/b", "π" * 3]
    )
    def test_what_is_no_name_is_refused_by_name_and_rule(self, typed):
        message = fault_of(clean_subreddits, ["python", typed])

        assert f"“{typed}” is not a subreddit's name" in message
        assert "2 to 21 letters, digits and underscores" in message

    @pytest.mark.parametrize("typed", ["all", "r/popular", "Friends", "mod"])
    def test_aggregates_are_refused(self, typed):
        message = fault_of(clean_subreddits, [typed])

        assert f"“{typed}” is a view over other subreddits" in message
        assert "Enter the subreddits that you want" in message

    def test_a_name_in_another_case_is_a_duplicate(self):
        message = fault_of(clean_subreddits, ["Python", "r/pYTHON"])

        assert message == "“r/pYTHON” is listed twice. Remove it once."

    def test_every_fault_is_told_at_once(self):
        with pytest.raises(ValidationError) as refused:
            clean_subreddits(["a", "all", "python", "PYTHON"])

        assert len(refused.value.messages) == 3

    @settings(max_examples=30)
    @given(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.lower))
    def test_names_come_out_as_they_went_in(self, names):
        assert clean_subreddits([f"https://www.reddit.com/r/{name}/" for name in names]) == names
        assert clean_subreddits(split_names(" + ".join(f"r/{name}" for name in names))) == names

    @given(st.lists(st.text()))
    def test_anything_else_is_a_validation_error(self, typed):
        try:
            cleaned = clean_subreddits(typed)
        except ValidationError:
            return
        assert clean_subreddits(cleaned) == cleaned

    def test_they_may_be_typed_one_a_line_or_on_one(self):
        assert split_names("python, r/django\nflask+celery\r\n\n redis") == [
            "python",
            "r/django",
            "flask",
            "celery",
            "redis",
        ]


class TestTerms:
    def test_blank_and_repeated_ones_are_dropped(self):
        assert clean_terms([" cat ", "", "cat", "  ", "Cat"]) == ["cat", "Cat"]

    def test_lines_keep_the_blanks_inside(self):
        assert split_lines("a phrase\n\n  another \r\n") == ["a phrase", "another"]

    @pytest.mark.parametrize("pattern", [r"\bcat(s)?\b", r"\p{Greek}+", r"(?i)^re:", "a{1,5}"])
    def test_re2_patterns_are_taken(self, pattern):
        assert clean_terms([f"re:{pattern}"]) == [f"re:{pattern}"]

    @pytest.mark.parametrize(
        "pattern", ["(", "[a-", "a(?=b)", r"(a)\1", "*", "a{99999}", "((a{100}){100}){100}", ""]
    )
    def test_patterns_that_do_not_compile_are_refused_by_name(self, pattern):
        message = fault_of(clean_terms, ["fine", f"re:{pattern}"])

        assert f"“re:{pattern}” does not compile: " in message
        assert "RE2 has no look-around" in message

    @pytest.mark.slow
    @given(st.lists(st.text()))
    def test_anything_compiles_or_is_a_validation_error(self, typed):
        terms = [f"re:{text}" for text in typed]
        try:
            cleaned = clean_terms(terms)
        except ValidationError:
            return
        for term in cleaned:
            compile_pattern(term.removeprefix("re:"))


class TestCrontab:
    @pytest.mark.parametrize(
        "expression",
        ["* * * * *", "*/5 * * * *", "30 9 * * 1-5", "0 0,12 1 */2 *", "0 9 * * mon,fri",
         "0 0 29 2 *"],
    )  # fmt: skip
    def test_five_fields_are_taken(self, expression):
        assert clean_crontab(f"  {expression.replace(' ', '   ')} ") == expression

    @pytest.mark.parametrize("expression", ["", "* * * *", "* * * * * *", "@daily"])
    def test_another_number_of_fields_is_refused_with_an_example(self, expression):
        message = fault_of(clean_crontab, expression)

        assert f"“{expression}” has {len(expression.split())} field" in message
        assert "30 9 * * *" in message

    @pytest.mark.parametrize(
        "expression",
        ["60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8",
         "x * * * *", "*/0 * * * *", "-1 * * * *", "5- * * * *"],
    )  # fmt: skip
    def test_what_no_clock_shows_is_refused(self, expression):
        assert f"“{expression}” is not a crontab" in fault_of(clean_crontab, expression)

    @pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *"])
    def test_a_date_that_never_comes_is_refused(self, expression):
        message = fault_of(clean_crontab, expression)

        assert f"“{expression}”" in message
        assert "never" in message

    @pytest.mark.parametrize(
        "expression",
        [f"0 0 * * {','.join(['mon'] * 17)}", f"0 0 * {','.join(['1'] * 33)} *",
         f"0 {','.join(['1'] * 49)} * * *"],
        ids=["day of week", "month", "hour"],
    )  # fmt: skip
    def test_a_field_longer_than_beat_stores_is_refused(self, expression):
        assert "Shorten" in fault_of(clean_crontab, expression)

    @settings(max_examples=200)
    @given(
        st.lists(st.text("0123456789*/,-#?LWmonJAN", min_size=1), min_size=5, max_size=5)
        | st.lists(st.text(), max_size=6)
    )
    def test_anything_is_a_crontab_or_a_validation_error(self, fields):
        try:
            cleaned = clean_crontab(" ".join(fields))
        except ValidationError:
            return
        assert clean_crontab(cleaned) == cleaned


@pytest.mark.django_db
class TestBot:
    def faults(self, **values):
        bot = BotFactory.build(**values)
        app = RedditAppFactory()
        bot.owner, bot.reddit_app = app.owner, app
        with pytest.raises(ValidationError) as refused:
            bot.full_clean()
        return refused.value.message_dict

    def test_a_bot_as_typed_is_made_right(self):
        app = RedditAppFactory()
        bot = BotFactory.build(
            owner=app.owner,
            reddit_app=app,
            subreddits=["https://www.reddit.com/r/Python/", "r/django"],
            include_terms=["cat", " cat"],
            schedule="crontab",
            crontab=" 30  9 * * * ",
        )

        bot.full_clean()

        assert bot.subreddits == ["Python", "django"]
        assert bot.include_terms == ["cat"]
        assert bot.crontab == "30 9 * * *"

    def test_each_field_at_fault_is_named(self):
        faults = self.faults(
            subreddits=["all"],
            include_terms=["re:("],
            exclude_terms=["re:["],
            listing="search",
            match_in=[],
            every=1,
            period="seconds",
        )

        assert set(faults) == {
            "subreddits",
            "include_terms",
            "exclude_terms",
            "search_query",
            "match_in",
            "every",
        }

    @pytest.mark.parametrize(
        ("every", "period"),
        [(9, "seconds"), (1, "seconds"), (32, "days"), (745, "hours"), (2**31 - 1, "days")],
    )
    def test_an_interval_out_of_bounds_is_named_with_the_bounds(self, every, period):
        (message,) = self.faults(every=every, period=period)["every"]

        interval = "every second" if every == 1 else f"every {every} {period}"
        assert message.startswith(f"The interval “{interval}” is out of range")
        assert "from 10 seconds to 31 days" in message

    @pytest.mark.parametrize(
        ("every", "period"), [(10, "seconds"), (1, "minutes"), (31, "days"), (744, "hours")]
    )
    def test_the_bounds_themselves_are_taken(self, every, period):
        BotFactory(every=every, period=period).full_clean()

    def test_a_crontab_bot_needs_a_crontab(self):
        assert "“30 9 * * *”" in self.faults(schedule="crontab", crontab=" ")["crontab"][0]

    def test_an_interval_bot_does_not_mind_its_unused_crontab(self):
        BotFactory(crontab="").full_clean()

    def test_no_subreddit_is_refused(self):
        assert "Enter at least one subreddit." in self.faults(subreddits=[])["subreddits"]

    def test_an_item_limit_beyond_what_reddit_lists_is_refused(self):
        assert "1000" in self.faults(item_limit=1001)["item_limit"][0]

    def test_names_are_unique_with_one_owner_only(self):
        bot = BotFactory()
        twin = BotFactory.build(owner=bot.owner, reddit_app=bot.reddit_app, name=bot.name)
        with pytest.raises(ValidationError, match="A bot of this owner already has this name"):
            twin.full_clean()

        BotFactory(name=bot.name).full_clean()

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"every": 1, "period": "hours"}, "every hour"),
            ({"every": 5, "period": "minutes"}, "every 5 minutes"),
            (
                {"schedule": "crontab", "crontab": "0 9 * * *", "timezone": "Asia/Tokyo"},
                "0 9 * * * (Asia/Tokyo)",
            ),
        ],
    )
    def test_its_timing_is_said_in_words(self, values, words):
        assert BotConfig(**values).timing == words
