/* sqlite_tables: the tables, and how those of an older version become them.
 *
 *   meta(key, value)          id, restore_epoch, state: open | closed | backup
 *   commit_log(n, at_ns)      every transaction that put evidence
 *   stream, record, pack, gap, conflict, doubt, deletion, document    evidence; every row carries the n that
 *                             brought it (a pack: the first and last n of its records)
 *   series, rollup            counts of calls; series names what is counted
 *   tally                     sums over the store, so that nobody counts rows
 *   session, refusal, command, alert           operations; never read by a verdict
 *
 * stream.span is the longest t_to - t_from of the stream's records: it bounds how far before a window
 * the index on (stream, family, t_from) must be entered, so that a window never scans the stream. pack_span
 * is the same of its packs. hwm_n is the commit that raised hwm: as of any later one, hwm is the mark.
 * Records of the bulk families up to `packed` lie in packs.
 *
 * twin is 0 but in stores that were made by schema 1, where the node was part of a stream's identity: of a
 * boot that came from two nodes the row that got furthest is 0 and goes on, the others keep their records,
 * addresses and commits under their own id, and get none any more.
 */
#include "store/store_priv.h"

#define STREAM_COLUMNS                                                                \
    "("                                                                               \
    "  id INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES commit_log(n),"          \
    "  cluster TEXT NOT NULL, namespace TEXT NOT NULL, node TEXT NOT NULL,"           \
    "  boot BLOB NOT NULL CHECK(length(boot) = 16), twin INTEGER NOT NULL DEFAULT 0," \
    "  hwm INTEGER NOT NULL DEFAULT 0, hwm_n INTEGER NOT NULL DEFAULT 0,"             \
    "  span INTEGER NOT NULL DEFAULT 0, packed INTEGER NOT NULL DEFAULT 0,"           \
    "  pack_span INTEGER NOT NULL DEFAULT 0, UNIQUE(cluster, namespace, boot, twin)) STRICT;"

#define GAP_COLUMNS                                                                                     \
    "("                                                                                                 \
    "  stream INTEGER NOT NULL REFERENCES stream(id), from_seq INTEGER NOT NULL,"                       \
    "  to_seq INTEGER NOT NULL CHECK(to_seq >= from_seq), n INTEGER NOT NULL REFERENCES commit_log(n)," \
    "  cause INTEGER NOT NULL, PRIMARY KEY(stream, from_seq)) STRICT, WITHOUT ROWID;"

/* pack.passes: of its records those that retention may delete, as far as their content goes; NULL: nobody
 * has looked yet. */
#define ADDED_IN_2                                                                                          \
    "CREATE TABLE doubt("                                                                                   \
    "  stream INTEGER NOT NULL REFERENCES stream(id), reason INTEGER NOT NULL,"                             \
    "  n INTEGER NOT NULL REFERENCES commit_log(n), PRIMARY KEY(stream, reason)) STRICT, WITHOUT ROWID;"    \
    "CREATE TABLE pack("                                                                                    \
    "  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES stream(id), family INTEGER NOT NULL,"     \
    "  seq_from INTEGER NOT NULL, seq_to INTEGER NOT NULL CHECK(seq_to >= seq_from),"                       \
    "  n_from INTEGER NOT NULL, n_to INTEGER NOT NULL, t_from INTEGER NOT NULL, t_to INTEGER NOT NULL,"     \
    "  records INTEGER NOT NULL, passes INTEGER, body BLOB NOT NULL) STRICT;"                               \
    "CREATE UNIQUE INDEX pack_seq ON pack(stream, family, seq_from, seq_to, n_from);"                       \
    "CREATE INDEX pack_time ON pack(stream, family, t_from, t_to, n_from, seq_from, passes);"               \
    "CREATE TABLE deletion("                                                                                \
    "  id INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES commit_log(n),"                                \
    "  stream INTEGER NOT NULL REFERENCES stream(id), from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,"  \
    "  records INTEGER NOT NULL, n_from INTEGER NOT NULL,"                                                  \
    "  t_from INTEGER NOT NULL, t_to INTEGER NOT NULL) STRICT;"                                             \
    "CREATE TABLE series("                                                                                  \
    "  id INTEGER PRIMARY KEY, cluster TEXT NOT NULL, namespace TEXT NOT NULL, probe TEXT NOT NULL,"        \
    "  target TEXT NOT NULL, path TEXT NOT NULL, control INTEGER NOT NULL,"                                 \
    "  UNIQUE(cluster, namespace, probe, target, path, control)) STRICT;"                                   \
    "CREATE TABLE rollup("                                                                                  \
    "  series INTEGER NOT NULL REFERENCES series(id), level INTEGER NOT NULL, from_ns INTEGER NOT NULL,"    \
    "  n_first INTEGER NOT NULL, n_last INTEGER NOT NULL, calls INTEGER NOT NULL, unsent INTEGER NOT NULL," \
    "  counts BLOB NOT NULL, PRIMARY KEY(series, level, from_ns)) STRICT, WITHOUT ROWID;"                   \
    "CREATE TABLE tally(id INTEGER PRIMARY KEY CHECK(id = 1), records INTEGER NOT NULL,"                    \
    "  packed INTEGER NOT NULL, calls INTEGER NOT NULL) STRICT;"                                            \
    "INSERT INTO tally VALUES(1, 0, 0, 0);"                                                                 \
    "CREATE TABLE alert(id INTEGER PRIMARY KEY CHECK(id = 1), state TEXT NOT NULL) STRICT;"

const char store_tables_sql[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE commit_log(n INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL) STRICT;"
    "CREATE INDEX commit_log_at ON commit_log(at_ns, n);"
    "CREATE TABLE stream" STREAM_COLUMNS "CREATE INDEX stream_boot ON stream(boot, cluster, namespace);"
    "CREATE TABLE record("
    "  stream INTEGER NOT NULL REFERENCES stream(id), seq INTEGER NOT NULL CHECK(seq > 0),"
    "  n INTEGER NOT NULL REFERENCES commit_log(n), family INTEGER NOT NULL,"
    "  t_from INTEGER NOT NULL, t_to INTEGER NOT NULL, payload BLOB NOT NULL,"
    "  PRIMARY KEY(stream, seq)) STRICT;"
    "CREATE INDEX record_time ON record(stream, family, t_from, t_to, n, seq);"
    "CREATE TABLE gap" GAP_COLUMNS "CREATE TABLE conflict("
    "  stream INTEGER NOT NULL REFERENCES stream(id), seq INTEGER NOT NULL,"
    "  n INTEGER NOT NULL REFERENCES commit_log(n),"
    "  PRIMARY KEY(stream, seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE document("
    "  id INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES commit_log(n),"
    "  kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL) STRICT;"
    "CREATE INDEX document_name ON document(kind, name, id);"
    "CREATE TABLE session("
    "  cluster TEXT NOT NULL, namespace TEXT NOT NULL, node TEXT NOT NULL, boot BLOB NOT NULL,"
    "  key TEXT NOT NULL, version TEXT NOT NULL, connected INTEGER NOT NULL, since_ns INTEGER NOT NULL,"
    "  last_seen_ns INTEGER NOT NULL, records INTEGER NOT NULL,"
    "  PRIMARY KEY(cluster, namespace, node, boot)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE refusal("
    "  key TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, first_ns INTEGER NOT NULL,"
    "  last_ns INTEGER NOT NULL, PRIMARY KEY(key, reason)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE command("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT, cluster TEXT NOT NULL, namespace TEXT NOT NULL,"
    "  kind INTEGER NOT NULL, ttl_seconds INTEGER NOT NULL, asked_ns INTEGER NOT NULL,"
    "  expires_ns INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,"
    "  answered_ok INTEGER NOT NULL DEFAULT 0, answered_bad INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX command_expires ON command(expires_ns, id);" ADDED_IN_2;

/* Inside one transaction, foreign keys off. What needs a look at the records themselves is done in
 * sqlite_migrate.c. */
const char store_tables_1_to_2_sql[] =
    "CREATE TABLE stream_2" STREAM_COLUMNS
    "INSERT INTO stream_2(id, n, cluster, namespace, node, boot, twin, hwm, hwm_n, span) "
    "SELECT id, n, cluster, namespace, node, boot, "
    "row_number() OVER (PARTITION BY cluster, namespace, boot ORDER BY hwm DESC, id) - 1, hwm, max(n, "
    "coalesce((SELECT r.n FROM record r WHERE r.stream = s.id ORDER BY r.seq DESC LIMIT 1), 0), "
    "coalesce((SELECT max(g.n) FROM gap g WHERE g.stream = s.id), 0)), span FROM stream s;"
    "DROP TABLE stream;"
    "ALTER TABLE stream_2 RENAME TO stream;"
    "CREATE INDEX stream_boot ON stream(boot, cluster, namespace);"
    "CREATE TABLE gap_2" GAP_COLUMNS
    "INSERT INTO gap_2(stream, from_seq, to_seq, n, cause) SELECT stream, from_seq, to_seq, n, 1 FROM gap;"
    "DROP TABLE gap;"
    "ALTER TABLE gap_2 RENAME TO gap;" ADDED_IN_2 "UPDATE tally SET records = (SELECT count(*) FROM record);";
