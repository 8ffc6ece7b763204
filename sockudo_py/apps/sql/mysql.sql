-- The apps of sockudo-py in MySQL 8.0 or MariaDB 10.6, or newer. It can be run again; what is there stays.
--
-- Another name of the table: replace `applications` below, and set database.mysql.table_name.
-- A table of Sockudo or soketi is read as it is.

-- `settings` holds further keys of an app, as in a file: {"max_connections": 100}.
CREATE TABLE IF NOT EXISTS `applications` (
    `id`         varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    `key`        varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
    `secret`     varchar(1024) NOT NULL,
    `enabled`    boolean NOT NULL DEFAULT true,
    `settings`   json NULL,
    `webhooks`   json NULL,
    `created_at` timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `updated_at` timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
