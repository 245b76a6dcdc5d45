"""A bot's terms find what a person would say they find, in any script, and nothing hangs."""

import threading

import pytest
import re2
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from bots.models import BotConfig
from scraping import matching
from scraping.matching import Fleet, Match, fleet, terms
from scraping.models import BotItem
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import sessions_waiting_for_locks
from tests.factories import BotFactory, CommentData, PostData
from tests.processes import wait_until
from tests.scraping import simple_matcher


def bot(**values):
    return BotConfig(pk=1, subreddits=["Python"], **values)


def match(bot, item):
    """The match of a bot with an item, found both ways, or None."""
    found = Fleet([bot]).match(item)
    assert found == simple_matcher.matches([bot], item)
    return found[0] if found else None


def terms_found(title, *terms, **values):
    """The terms that are found in a title, or None for an item that does not match."""
    item = parse_post(PostData(number=1, title=title, selftext=""))
    found = match(bot(include_terms=list(terms), **values), item)
    return found and found.terms


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

        assert match(bot(include_terms=[term], match_in=[place]), item)
        assert not match(bot(include_terms=[term], match_in=others), item)

    def test_a_comment_has_a_body(self):
        item = parse_comment(CommentData(number=1, body="a cat"))

        assert match(bot(include_terms=["cat"], match_in=["body"]), item)
        assert not match(bot(include_terms=["cat"], match_in=["title"]), item)


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


def item(number=1, **values):
    return parse_post(PostData(number=number, **values))


@pytest.mark.django_db
class TestFind:
    def bots_found(self, *items):
        return {match.bot_id for match in matching.find(items)}

    @pytest.mark.parametrize(
        ("name", "found"), [("pYTHON", True), ("django", False), (None, False)]
    )
    def test_only_items_of_the_bots_subreddits_match(self, name, found):
        bot = BotFactory(subreddits=["rust", "Python"])

        assert self.bots_found(item(subreddit=name)) == ({bot.pk} if found else set())

    def test_all_active_bots_that_watch_are_asked(self):
        watching = [BotFactory(subreddits=["PYTHON"]), BotFactory(subreddits=["rust", "python"])]
        BotFactory(subreddits=["rust"])
        BotFactory(subreddits=["python"], is_active=False)

        assert self.bots_found(item(subreddit="Python")) == {bot.pk for bot in watching}

    def test_bots_are_compiled_once(self, django_assert_num_queries):
        BotFactory.create_batch(3)
        self.bots_found(item())

        with django_assert_num_queries(1):
            assert len(self.bots_found(*(item(number) for number in range(50)))) == 3

    @pytest.mark.parametrize("door", ["save", "update", "bulk_update"])
    def test_a_change_holds_at_once(self, door):
        bot, _ = BotFactory.create_batch(2, include_terms=["cat"])
        post = item(title="a dog")
        assert self.bots_found(post) == set()

        bot.include_terms = ["dog"]
        if door == "save":
            bot.save()
        elif door == "update":
            BotConfig.objects.filter(pk=bot.pk).update(include_terms=["dog"])
        else:
            BotConfig.objects.bulk_update([bot], ["include_terms"])

        assert self.bots_found(post) == {bot.pk}

    def test_a_bot_that_is_gone_or_switched_off_finds_nothing(self):
        bot, other = BotFactory(), BotFactory()
        assert self.bots_found(item()) == {bot.pk, other.pk}

        bot.delete()
        BotConfig.objects.filter(pk=other.pk).update(is_active=False)

        assert self.bots_found(item()) == set()

    def test_what_a_session_notes_on_its_bot_compiles_nothing_anew(self):
        BotFactory()
        before = BotConfig.objects.get().updated_at
        BotConfig.objects.update(last_session_summary="3 posts")

        assert BotConfig.objects.get().updated_at == before

    def test_few_sets_of_bots_are_kept(self):
        for number in range(fleet.KEPT_FLEETS + 3):
            BotFactory(subreddits=[f"sub{number}"])
            self.bots_found(item(subreddit=f"sub{number}"))

        assert len(fleet._fleets) == fleet.KEPT_FLEETS


class TestScripts:
    @pytest.mark.parametrize(
        ("title", "term"),
        [
            ("日本語の猫です", "猫"),
            ("我喜欢编程语言", "编程"),
            ("ฉันรักแมวมาก", "แมว"),
            ("私はPythonが好き", "python"),
            ("ラーメン屋", "ラーメン"),
            ("カフェ", "カフェ"),
            ("STRASSE", "straße"),
            ("die Straße", "STRASSE"),
            ("ΟΔΟΣ", "οδος"),
            ("Cafe\u0301", "caf\u00e9"),
            ("caf\u00e9", "CAFE\u0301"),
            ("한국어", "한국어"),
        ],
    )
    def test_found_as_whole_words(self, title, term):
        assert terms_found(title, term) == [term]

    @pytest.mark.parametrize(
        ("title", "term"),
        [
            ("ฉันมั่นใจ", "ม"),
            ("の\u0300", "\u0300"),
            ("cafe\u0301s", "caf\u00e9"),
            ("한국어를", "한국어"),
            ("cafe\u0301", "cafe"),
        ],
    )
    def test_not_found_as_whole_words(self, title, term):
        assert terms_found(title, term) is None

    def test_patterns_are_composed_as_texts_are(self):
        assert terms_found("un cafe\u0301", "re:caf\u00e9$") == ["re:caf\u00e9$"]
        assert terms_found("un caf\u00e9", "re:cafe\u0301$") == ["re:cafe\u0301$"]

    def test_a_pattern_that_does_not_compile_stops_no_other(self):
        bots = [
            BotConfig(pk=1, subreddits=["python"], include_terms=["re:(", "cat"]),
            BotConfig(pk=2, subreddits=["python"], include_terms=["re:(", "re:c.t"]),
        ]
        found = Fleet(bots).match(item(title="a cat"))

        assert {match.bot_id: match.terms for match in found} == {1: ["cat"], 2: ["re:c.t"]}

    def test_patterns_that_need_too_much_memory_together_are_run_one_by_one(self, monkeypatch):
        monkeypatch.setattr(terms, "SET_MEMORY_BYTES", 20_000)
        patterns = [f"re:{chr(97 + n)}[a-z]{{3,9}}\\d+x?{n}" for n in range(20)]
        texts = [f"{chr(97 + n)}bcdefgh12x{n} and more of it" for n in range(20)]

        for text, pattern in zip(texts, patterns, strict=True):
            assert pattern in terms_found(text, *patterns)

    def test_a_text_that_needs_too_much_memory_has_its_patterns_run_one_by_one(self, monkeypatch):
        # So RE2 answers when it runs out of memory on a text.
        monkeypatch.setattr(re2.Set, "Match", lambda self, text: None)

        assert terms_found("a cat", "re:c.t", "re:d.g") == ["re:c.t"]


# Few letters, of many kinds, so that terms are found; also those whose case is not one to one.
ALPHABET = "aAbBßſsSiIİıéÉe\u0301ΣσςñМм猫犬のカフabc ็ม๋한글ﬁ123_ .-+#\n\u0300ǅ𝐀𐐀𠀋"  # noqa: RUF001
texts = st.text(st.sampled_from(ALPHABET), max_size=30) | st.text(max_size=20)
plain_terms = st.text(st.sampled_from(ALPHABET), min_size=1, max_size=5).map(str.strip).filter(bool)
patterns = st.sampled_from(["re:^a", "re:[a-z]+s", "re:猫|犬", "re:\\bab", "re:ß", "re:S$", "re:."])
bots = st.lists(
    st.builds(
        BotConfig,
        subreddits=st.just(["python"]),
        include_terms=st.lists(plain_terms | patterns, max_size=4),
        exclude_terms=st.lists(plain_terms | patterns, max_size=2),
        match_in=st.lists(st.sampled_from(BotConfig.MatchIn.values), min_size=1, unique=True),
        case_sensitive=st.booleans(),
        whole_words=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@given(bots, st.lists(st.builds(dict, title=texts, selftext=texts, author=texts), max_size=4))
def test_the_fast_way_finds_what_the_simple_one_does(bots, posts):
    for number, bot in enumerate(bots):
        bot.pk = number
    together = Fleet(bots)

    for post in posts:
        parsed = item(**post)
        found = sorted(together.match(parsed), key=lambda match: match.bot_id)
        assert found == simple_matcher.matches(bots, parsed)


@pytest.mark.django_db
def test_deleting_a_bot_deletes_its_matches():
    bot = BotFactory()
    BotItem.objects.create(bot=bot, fullname="t3_a", matched_at=timezone.now())

    bot.delete()

    assert not BotItem.objects.exists()
