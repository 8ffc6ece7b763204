-- The apps of sockudo-py in PostgreSQL 11 or newer. It can be run again; what is there stays.
--
-- Another name of the table: replace "applications" below, and set database.postgres.table_name.
-- A table of Sockudo or soketi is read as it is. To have its changes seen at once, run the second part for it.

-- 1. The table. `settings` holds further keys of an app, as in a file: {"max_connections": 100}.
CREATE TABLE IF NOT EXISTS applications (
    id         text PRIMARY KEY CHECK (id <> ''),
    key        text NOT NULL UNIQUE CHECK (key <> ''),
    secret     text NOT NULL CHECK (secret <> ''),
    enabled    boolean NOT NULL DEFAULT true,
    settings   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    webhooks   jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(webhooks) = 'array'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- 2. The server hears of each change when it is committed.
CREATE OR REPLACE FUNCTION sockudo_py_apps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sockudo_py_apps', '');
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS sockudo_py_apps ON applications;
CREATE TRIGGER sockudo_py_apps AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON applications
    FOR EACH STATEMENT EXECUTE FUNCTION sockudo_py_apps();
