"""A bot's terms find what a person would say they find, in any script, and nothing hangs."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from bots.models import BotConfig
from scraping import matching
from scraping.matching import Match, Matcher
from scraping.models import BotItem
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import sessions_waiting_for_locks
from tests.factories import BotFactory, CommentData, PostData
from tests.processes import wait_until


def bot(**values):
    return BotConfig(pk=1, subreddits=["Python"], **values)


def terms_found(title, *terms, **values):
    """The terms that are found in a title, or None for an item that does not match."""
    matcher = Matcher(bot(include_terms=list(terms), **values))
    match = matcher.match(parse_post(PostData(number=1, title=title, selftext="")))
    return match and match.terms


class TestWords:
    @pytest.mark.parametrize(
        ("title", "term"),
        [
            ("My cat sleeps", "cat"),
            ("CAT", "cat"),
            ("a cat", "CAT"),
            ("cat: a story", "cat"),
            ("(cat)", "cat"),
            ("cat-like", "cat"),
            ("the cat's tail", "cat"),
            ("Der Bär schläft", "bär"),
            ("ΓΑΤΑ και σκύλος", "γατα"),
            ("моя КОШКА спит", "кошка"),
            ("यह बिल्ली सोती है", "बिल्ली"),
            ("قطة صغيرة", "قطة"),
            ("החתול שלי", "שלי"),
            ("a 猫 sleeps", "猫"),
            ("C++ or Rust", "c++"),
            ("price: $5.00!", "$5.00"),
            ("a.b", "a.b"),
            ("two words here", "two words"),
            ("\ncat\n", "cat"),
        ],
    )
    def test_whole_words_are_found(self, title, term):
        assert terms_found(title, term) == [term]

    @pytest.mark.parametrize(
        ("title", "term"),
        [
            ("concatenate", "cat"),
            ("cats", "cat"),
            ("cat_food", "cat"),
            ("cat5", "cat"),
            ("Bärte", "bär"),
            ("кошками", "кошка"),
            ("बिल्लियाँ", "बिल्ल"),
            ("two  words", "two words"),
            ("axb", "a.b"),
        ],
    )
    def test_parts_of_words_are_not(self, title, term):
        assert terms_found(title, term) is None

    def test_parts_of_words_are_when_asked_for(self):
        assert terms_found("concatenate", "cat", whole_words=False) == ["cat"]
        assert terms_found("日本語の猫です", "猫", whole_words=False) == ["猫"]

    def test_case_matters_when_asked_for(self):
        assert terms_found("US news", "US", case_sensitive=True) == ["US"]
        assert terms_found("tell us", "US", case_sensitive=True) is None

    @given(st.text(min_size=1).filter(str.strip))
    def test_any_text_finds_itself(self, text):
        cleaned = parse_post(PostData(number=1, title=text)).title
        assert terms_found(cleaned, cleaned, whole_words=False, case_sensitive=True) == [cleaned]


class TestTerms:
    def test_every_term_that_was_found_is_told(self):
        assert terms_found("cats and dogs", "cats", "dogs", "birds") == ["cats", "dogs"]

    def test_without_terms_everything_matches(self):
        assert terms_found("anything") == []

    def test_an_excluded_term_spoils_the_match(self):
        assert terms_found("cats and dogs", "cats", exclude_terms=["dogs"]) is None
        assert terms_found("cats and dogs", exclude_terms=["birds"]) == []
        assert terms_found("cats", exclude_terms=["cats"]) is None

    def test_patterns_are_re2(self):
        assert terms_found("catatonic", r"re:cat\w+") == [r"re:cat\w+"]
        assert terms_found("CAT", "re:^cat$") == ["re:^cat$"]
        assert terms_found("CAT", "re:^cat$", case_sensitive=True) is None

    def test_no_pattern_hangs(self):
        """One that takes other engines longer than the age of the world."""
        assert terms_found("a" * 50_000 + "!", "re:^(a+)+$") is None


class TestPlaces:
    ITEM = PostData(
        number=1,
        title="in the title",
        selftext="in the body",
        url="https://example.org/in-the-url",
        author="in_the_author",
        link_flair_text="in the flair",
        author_flair_text="in the author flair",
    )

    @pytest.mark.parametrize(
        ("place", "term"),
        [
            ("title", "in the title"),
            ("body", "in the body"),
            ("url", "in-the-url"),
            ("author", "in_the_author"),
            ("flair", "in the flair"),
            ("flair", "in the author flair"),
        ],
    )
    def test_a_term_is_looked_for_where_the_bot_says(self, place, term):
        item = parse_post(self.ITEM)
        others = [other for other in BotConfig.MatchIn.values if other != place]

        assert Matcher(bot(include_terms=[term], match_in=[place])).match(item)
        assert not Matcher(bot(include_terms=[term], match_in=others)).match(item)

    def test_a_comment_has_a_body(self):
        item = parse_comment(CommentData(number=1, body="a cat"))

        assert Matcher(bot(include_terms=["cat"], match_in=["body"])).match(item)
        assert not Matcher(bot(include_terms=["cat"], match_in=["title"])).match(item)

    @pytest.mark.parametrize(
        ("name", "found"), [("pYTHON", True), ("django", False), (None, False)]
    )
    def test_only_items_of_the_bots_subreddits_match(self, name, found):
        data = PostData(number=1, subreddit=name)

        assert bool(Matcher(bot()).match(parse_post(data))) == found


@pytest.mark.django_db
class TestStored:
    def match(self, bot, fullname="t3_a", terms=("cat",)):
        return Match(bot.pk, fullname, list(terms))

    def test_a_match_is_stored_once_and_told_once(self):
        bot = BotFactory()

        first = matching.store_matches([self.match(bot), self.match(bot), self.match(bot, "t3_b")])
        second = matching.store_matches([self.match(bot), self.match(bot, "t3_c")])

        assert [match.fullname for match in first] == ["t3_a", "t3_b"]
        assert [match.fullname for match in second] == ["t3_c"]
        assert BotItem.objects.count() == 3
        assert BotItem.objects.get(fullname="t3_a").matched_terms == ["cat"]

    def test_nothing_to_store_asks_nothing(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert matching.store_matches([]) == []

    def test_a_bot_that_was_deleted_meanwhile_costs_the_others_nothing(self):
        gone, bot = BotFactory(), BotFactory()
        matches = [self.match(gone), self.match(bot)]
        gone.delete()

        assert matching.store_matches(matches) == [matches[1]]

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("door", ["instance", "queryset"])
    def test_a_bot_is_deleted_with_what_a_session_stores_at_that_moment(self, door):
        bot, faults = BotFactory(), []

        def delete():
            try:
                bot.delete() if door == "instance" else BotConfig.objects.all().delete()
            except Exception as error:  # noqa: BLE001  (told by the test)
                faults.append(error)
            finally:
                connection.close()

        other = threading.Thread(target=delete)
        with transaction.atomic():
            matching.store_matches([self.match(bot)])
            other.start()
            wait_until(lambda: sessions_waiting_for_locks() == 1, what="the deletion waits")
            matching.store_matches([self.match(bot, "t3_b")])
        other.join(60)

        assert faults == []
        assert not BotItem.objects.exists()
        assert not BotConfig.objects.exists()

    def test_everyone_who_watches_gets_a_matcher(self):
        watching = [BotFactory(subreddits=["PYTHON"]), BotFactory(subreddits=["rust", "python"])]
        BotFactory(subreddits=["rust"])
        BotFactory(subreddits=["python"], is_active=False)

        matchers = matching.matchers_for(["Python", "django"])

        assert {matcher.bot_id for matcher in matchers} == {bot.pk for bot in watching}


@pytest.mark.django_db
def test_deleting_a_bot_deletes_its_matches():
    bot = BotFactory()
    BotItem.objects.create(bot=bot, fullname="t3_a", matched_at=timezone.now())

    bot.delete()

    assert not BotItem.objects.exists()
