"""Empty the test database between tests that commit.

Django's `flush` truncates every table and then sends `post_migrate`, which writes all content types,
permissions and system schedules again: 234 statements. Here one statement deletes the rows that a test
added and restores the rows that `migrate` left behind, and it touches no table that the test left alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.db import DEFAULT_DB_ALIAS, connections
from django.test import TransactionTestCase

# Copies of the tables as `migrate` left them.
KEPT = "kept"
# DELETE leaves dead rows behind. Above this size TRUNCATE is quicker, and it gives the space back.
TRUNCATE_BYTES = 2**20

KEEP = f"""
DO $keep$
DECLARE
    name text;
BEGIN
    CREATE SCHEMA {KEPT};
    FOR name IN SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('CREATE TABLE {KEPT}.%I AS TABLE public.%I', name, name);
    END LOOP;
END
$keep$
"""

# The lock waits for the processes of a killed worker to end, as TRUNCATE does. Foreign keys are checked
# at the end of the transaction, so the order of the tables does not matter.
RESTORE = f"""
DO $restore$
DECLARE
    names text[];
    large text[];
    name text;
    differs boolean;
BEGIN
    SELECT array_agg(relname), array_agg(format('public.%I', relname))
        FILTER (WHERE pg_relation_size(oid) > {TRUNCATE_BYTES})
    INTO names, large FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r';
    EXECUTE 'LOCK TABLE ' || (SELECT string_agg(format('public.%I', each), ', ') FROM unnest(names) each)
        || ' IN EXCLUSIVE MODE';
    IF large IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || array_to_string(large, ', ') || ' CASCADE';
    END IF;
    FOREACH name IN ARRAY names LOOP
        IF pg_relation_size(format('public.%I', name)::regclass) = 0
            AND pg_relation_size(format('{KEPT}.%I', name)::regclass) = 0 THEN
            CONTINUE;
        END IF;
        EXECUTE format(
            'WITH now AS (SELECT row::text FROM public.%1$I row),'
            ' kept AS (SELECT row::text FROM {KEPT}.%1$I row)'
            ' SELECT EXISTS (TABLE now EXCEPT ALL TABLE kept)'
            ' OR EXISTS (TABLE kept EXCEPT ALL TABLE now)',
            name
        ) INTO differs;
        IF differs THEN
            EXECUTE format('DELETE FROM public.%I', name);
            EXECUTE format('INSERT INTO public.%1$I SELECT * FROM {KEPT}.%1$I', name);
        END IF;
    END LOOP;
END
$restore$
"""


def restore(database: str = DEFAULT_DB_ALIAS) -> None:
    """Bring every table back to the rows that it had after `migrate`."""
    with connections[database].cursor() as cursor:
        cursor.execute(RESTORE)


@contextmanager
def quick_flush(database: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Keep the tables as they are now; each test that commits brings them back at its end."""
    with connections[database].cursor() as cursor:
        cursor.execute(KEEP)

    def teardown(test: TransactionTestCase) -> None:
        restore(database)

    with mock.patch.object(TransactionTestCase, "_fixture_teardown", teardown):
        yield
