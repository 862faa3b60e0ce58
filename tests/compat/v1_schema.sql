-- The store's tables as version 0.1 made them (commit 95adee8), frozen, and what it filled in for a new one.
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE commit_log(n INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL) STRICT;
CREATE INDEX commit_log_at ON commit_log(at_ns, n);
CREATE TABLE stream(  id INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES commit_log(n),  cluster TEXT NOT NULL, namespace TEXT NOT NULL, node TEXT NOT NULL,  boot BLOB NOT NULL CHECK(length(boot) = 16),  hwm INTEGER NOT NULL DEFAULT 0, span INTEGER NOT NULL DEFAULT 0,  UNIQUE(cluster, namespace, node, boot)) STRICT;
CREATE TABLE record(  stream INTEGER NOT NULL REFERENCES stream(id), seq INTEGER NOT NULL CHECK(seq > 0),  n INTEGER NOT NULL REFERENCES commit_log(n), family INTEGER NOT NULL,  t_from INTEGER NOT NULL, t_to INTEGER NOT NULL, payload BLOB NOT NULL,  PRIMARY KEY(stream, seq)) STRICT;
CREATE INDEX record_time ON record(stream, family, t_from, t_to, n, seq);
CREATE TABLE gap(  stream INTEGER NOT NULL REFERENCES stream(id), from_seq INTEGER NOT NULL,  to_seq INTEGER NOT NULL CHECK(to_seq >= from_seq), n INTEGER NOT NULL REFERENCES commit_log(n),  PRIMARY KEY(stream, from_seq)) STRICT, WITHOUT ROWID;
CREATE TABLE conflict(  stream INTEGER NOT NULL REFERENCES stream(id), seq INTEGER NOT NULL,  n INTEGER NOT NULL REFERENCES commit_log(n),  PRIMARY KEY(stream, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE document(  id INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES commit_log(n),  kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX document_name ON document(kind, name, id);
CREATE TABLE session(  cluster TEXT NOT NULL, namespace TEXT NOT NULL, node TEXT NOT NULL, boot BLOB NOT NULL,  key TEXT NOT NULL, version TEXT NOT NULL, connected INTEGER NOT NULL, since_ns INTEGER NOT NULL,  last_seen_ns INTEGER NOT NULL, records INTEGER NOT NULL,  PRIMARY KEY(cluster, namespace, node, boot)) STRICT, WITHOUT ROWID;
CREATE TABLE refusal(  key TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, first_ns INTEGER NOT NULL,  last_ns INTEGER NOT NULL, PRIMARY KEY(key, reason)) STRICT, WITHOUT ROWID;
CREATE TABLE command(  id INTEGER PRIMARY KEY AUTOINCREMENT, cluster TEXT NOT NULL, namespace TEXT NOT NULL,  kind INTEGER NOT NULL, ttl_seconds INTEGER NOT NULL, asked_ns INTEGER NOT NULL,  expires_ns INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,  answered_ok INTEGER NOT NULL DEFAULT 0, answered_bad INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX command_expires ON command(expires_ns, id);
PRAGMA application_id = 1346847060;
PRAGMA user_version = 1;
INSERT INTO meta VALUES('id', '00112233445566778899aabbccddeeff'), ('restore_epoch', '0'), ('state', 'closed');
