"""Plausible text in several scripts, drawn from word lists by a seeded generator.

Collectors meet accents, right-to-left scripts, scripts without spaces, combining marks and emoji. A
world in plain English would hide the errors that such text causes.
"""

# ruff: noqa: RUF001 - letters of other scripts do look like Latin ones

import re
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Language:
    """Words of one language and how they are joined into sentences."""

    words: tuple[str, ...]
    space: str = " "
    stop: str = "."
    question: str = "?"


def _language(words: str, *, space: str = " ", stop: str = ".", question: str = "?") -> Language:
    return Language(words=tuple(words.split()), space=space, stop=stop, question=question)


LANGUAGES: dict[str, Language] = {
    "en": _language(
        "the a this my old new small first last good strange quiet better slow fast open broken"
        " simple whole garden kitchen train morning winter question answer version window paper"
        " engine river teacher recipe market battery signal keyboard compiler function library"
        " telescope planet bicycle harbour festival budget library weather someone everyone nobody"
        " found lost tried built asked learned forgot fixed noticed wanted explained measured"
        " how why when where again maybe finally almost never always together with without about"
        " under between after before because while and but or if then than today tomorrow it's"
        " don't can't I'd we're three seven dozens hundred"
    ),
    "de": _language(
        "der die das ein eine mein unser früher später schön größer müde täglich Straße Brücke"
        " Bäckerei Wohnung Frühstück Gemüse Prüfung Zug Verspätung Nachbar Schlüssel Fähre Bühne"
        " hören fragen wissen suchen können müssen hätte wäre möchte gefunden verloren über unter"
        " während trotzdem natürlich überall nirgends vielleicht heute morgen gestern und oder"
        " aber weil wenn für gegen ohne zwölf fünf Weißensee Neukölln"
    ),
    "fr": _language(
        "le la les un une mon notre très déjà bientôt élève forêt fenêtre hôtel garçon leçon"
        " français où être était créé trouvé perdu cherché demandé façade naïf cœur œuvre été"
        " hiver après avant peut-être aujourd'hui voilà ça même côté près loin pourquoi comment"
        " quelqu'un parce que mais ou donc sans avec dix-sept"
    ),
    "es": _language(
        "el la los una mi nuestro muy después mañana niño año señal español corazón canción"
        " avión café árbol pequeño último rápido difícil además quizás dónde cuándo cómo por qué"
        " encontré perdí busqué aprendí está había podría pingüino cigüeña aquí allí también pero"
        " porque sin con entre ¡vaya! siete"
    ),
    "pl": _language(
        "jest był może książka źródło żółty łąka śnieg ćma ździebło gęś miód świt wieś okno"
        " dzisiaj jutro wczoraj znalazł zgubiła pytanie odpowiedź dlaczego kiedy gdzie zawsze"
        " nigdy razem bez przed między ponieważ ale lub więc dziewięć późno dość"
    ),
    "tr": _language(
        "bir bu şehir ağaç güneş çiçek ışık İstanbul kapı soru yanıt neden nasıl nerede bugün"
        " yarın dün buldum kaybettim öğrendim düşündüm belki hiç her zaman birlikte önce sonra"
        " çünkü ama veya ile üç dört ıslak yağmur"
    ),
    "ru": _language(
        "это мой новый старый город река зима утро вопрос ответ книга окно поезд сосед ключ ёлка"
        " нашёл потеряла искали узнал почему когда где никто всегда никогда вместе перед между"
        " потому что но или если сегодня завтра вчера сделал объяснил измерил щенок объём съезд"
        " подъезд ещё тридцать"
    ),
    "ar": _language(
        "هذا الكتاب الجديد مدينة قديمة نافذة صباح شتاء سؤال جواب قطار جار مفتاح وجدت فقدت بحثت"
        " تعلمت لماذا متى أين كيف دائما أبدا معا قبل بعد بين لأن لكن أو اليوم غدا أمس مُعلِّم"
        " رِحلة قهوة شاي سبعة جدا",
        question="؟",
    ),
    "he": _language(
        "הספר החדש עיר ישנה חלון בוקר חורף שאלה תשובה רכבת שכן מפתח מצאתי איבדתי חיפשתי למדתי"
        " למה מתי איפה איך תמיד ביחד לפני אחרי בין כי אבל או היום מחר אתמול שבע מאוד"
    ),
    "hi": _language(
        "यह मेरा नया पुराना शहर नदी सर्दी सुबह प्रश्न उत्तर किताब खिड़की रेलगाड़ी पड़ोसी चाबी मिला खोया ढूँढा"
        " सीखा क्यों कब कहाँ कैसे हमेशा कभी साथ पहले बाद बीच क्योंकि लेकिन या आज कल सात बहुत ज़्यादा"
        " विज्ञान संस्कृति",
        stop="।",
    ),
    "zh": _language(
        "这个 我的 新的 旧 城市 河流 冬天 早上 问题 答案 书 窗户 火车 邻居 钥匙 找到"
        " 丢了 学习 为什么 什么时候 哪里 怎么 总是 从不 一起 以前 以后 之间"
        " 因为 但是 或者 今天 明天 昨天 七 非常 龍 鬱",
        space="",
        stop="。",
        question="？",
    ),
    "ja": _language(
        "この 私の 新しい 古い 町 川 冬 朝 質問 答え 本 窓 電車 隣人 鍵 見つけた なくした"
        " 学んだ なぜ いつ どこ どうやって いつも 一緒に"
        " 前に 後で 間 だから でも または 今日 明日 昨日 コーヒー"
        " ラーメン ずっと",
        space="",
        stop="。",
        question="？",
    ),
    "ko": _language(
        "이 나의 새로운 오래된 도시 강 겨울 아침 질문 대답 책 창문 기차 이웃 열쇠 찾았다"
        " 잃어버렸다 배웠다 왜 언제 어디 어떻게"
        " 항상 함께 전에 후에 사이 때문에 하지만 또는 오늘 내일 어제 일곱 매우"
    ),
}

EMOJI = ("😀", "🎉", "🚲", "🌧️", "👩🏽‍🔬", "🏳️‍🌈", "❤️", "🤷‍♂️", "🧪", "☕", "🇩🇪", "🥟")


def sentence(rng: Random, language: Language, *, shortest: int, longest: int) -> str:
    """Return one sentence of between ``shortest`` and ``longest`` words."""
    count = rng.randint(shortest, longest)
    words = language.space.join(rng.choices(language.words, k=count))
    ending = language.question if rng.random() < 0.2 else language.stop
    return words[:1].upper() + words[1:] + ending


def title(rng: Random, language: Language) -> str:
    """Return a post's title: one sentence, sometimes with an emoji or characters that HTML escapes."""
    text = sentence(rng, language, shortest=4, longest=14).removesuffix(language.stop)
    chance = rng.random()
    if chance < 0.08:
        text += " " + rng.choice(EMOJI)
    elif chance < 0.14:
        text += f' [{rng.randint(1, 9)} < {rng.randint(10, 99)} & "more"]'
    return text


_POOL = 400
_pools: dict[int, tuple[str, ...]] = {}


def _pool(language: Language) -> tuple[str, ...]:
    """Return ready sentences: bodies made of ready sentences are many times as fast to make."""
    pool = _pools.get(id(language))
    if pool is None:
        rng = Random(len(language.words))  # noqa: S311
        pool = tuple(sentence(rng, language, shortest=3, longest=16) for _ in range(_POOL))
        _pools[id(language)] = pool
    return pool


def body(rng: Random, language: Language, *, paragraphs: int) -> str:
    """Return running text in Markdown."""
    pool, space, random = _pool(language), language.space or " ", rng.random
    parts = []
    for _ in range(paragraphs):
        text = space.join([pool[int(random() * _POOL)] for _ in range(1 + int(random() * 4))])
        chance = random()
        if chance < 0.08:
            text += " " + EMOJI[int(random() * len(EMOJI))]
        elif chance < 0.13:
            text += f" https://example.org/{int(random() * 9999)}?a=1&b=2"
        parts.append(text)
    return "\n\n".join(parts)


_ENTITIES = (
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ('"', "&quot;"),
    ("'", "&#39;"),
)


def to_html(markdown: str, *, wrapped: bool) -> str:
    """Return the HTML that Reddit gives beside Markdown; posts have it `wrapped` in SC_OFF/SC_ON comments."""
    escaped = markdown
    for plain, entity in _ENTITIES:
        if plain in escaped:
            escaped = escaped.replace(plain, entity)
    inner = "\n\n".join(f"<p>{part}</p>" for part in escaped.split("\n\n"))
    block = f'<div class="md">{inner}\n</div>'
    return f"<!-- SC_OFF -->{block}<!-- SC_ON -->" if wrapped else block


_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def slug(heading: str) -> str:
    """Return the readable part of a permalink; ``_`` if the title leaves nothing."""
    return _NOT_SLUG.sub("_", heading.lower())[:50].strip("_") or "_"


_STARTS = tuple("ka mo ri ta lu be so ne vi ho da po ze gu fa wi".split(" "))  # noqa: SIM905
_ENDS = (
    "fox",
    "moth",
    "wren",
    "pike",
    "oak",
    "fern",
    "byte",
    "lamp",
    "drum",
    "kite",
    "salt",
    "owl",
)


def author_name(rng: Random) -> str:
    """Return a Reddit user name: letters, digits, ``_`` and ``-``, 3 to 20 characters."""
    stem = "".join(rng.choices(_STARTS, k=rng.randint(1, 3)))
    name = rng.choice(("", "_", "-")).join((stem.capitalize(), rng.choice(_ENDS)))
    return f"{name}{rng.randint(1, 9999)}"[:20]
