/* sqlite_stmts: the statements of the writing path. */
#include "store/store_priv.h"

static const char *const statements[STMT_COUNT] = {
    [STMT_COMMIT_NEXT] = "INSERT INTO commit_log(n, at_ns) SELECT coalesce(max(n), 0) + 1, 0 FROM commit_log "
                         "RETURNING n",
    /* the collector's clock may step back; the log's times do not, and no two commits have one: a time that
     * named a commit goes on naming it */
    [STMT_COMMIT_STAMP] = "UPDATE commit_log SET at_ns = max(?2, coalesce((SELECT at_ns + 1 FROM commit_log "
                          "WHERE n = ?1 - 1), 0)) WHERE n = ?1",
    [STMT_STREAM_FIND] = "SELECT id FROM stream WHERE cluster = ?1 AND namespace = ?2 AND boot = ?3 AND "
                         "twin = 0",
    [STMT_STREAM_ELSEWHERE] = "SELECT id FROM stream WHERE boot = ?3 AND (cluster, namespace) <> (?1, ?2) "
                              "LIMIT 1",
    [STMT_STREAM_NEW] = "INSERT INTO stream(cluster, namespace, boot, node, n) VALUES(?1, ?2, ?3, ?4, ?5)",
    [STMT_STREAM_GET] = "SELECT hwm, span FROM stream WHERE id = ?1",
    [STMT_STREAM_PUT] = "UPDATE stream SET hwm = ?2, hwm_n = ?3, span = ?4 WHERE id = ?1",
    [STMT_RECORD_NEW] = "INSERT INTO record(stream, seq, n, family, t_from, t_to, payload) "
                        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [STMT_RECORD_GET] = "SELECT payload FROM record WHERE stream = ?1 AND seq = ?2",
    [STMT_RECORD_FIRST] = "SELECT n FROM record WHERE stream = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1",
    [STMT_STREAM_UNPACKED] =
        "SELECT id, packed FROM stream WHERE id > ?1 AND packed < hwm ORDER BY id LIMIT ?2",
    [STMT_PACK_NEW] =
        "INSERT INTO pack(stream, family, seq_from, seq_to, n_from, n_to, t_from, t_to, records, "
        "body) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [STMT_PACK_OF] = "SELECT id, seq_to FROM pack INDEXED BY pack_seq WHERE stream = ?1 AND family = ?2 AND "
                     "seq_from <= ?3 ORDER BY seq_from DESC LIMIT 1",
    [STMT_PACK_BODY] = "SELECT body FROM pack WHERE id = ?1",
    [STMT_PACK_MARK] =
        "SELECT seq_to, n_to, body FROM pack INDEXED BY pack_seq WHERE stream = ?1 AND family = ?2 "
        "AND n_from <= ?3 ORDER BY seq_from DESC LIMIT 1",
    [STMT_PACK_REPLACE] = "UPDATE pack SET records = ?2, passes = ?3, body = ?4 WHERE id = ?1 AND "
                          "records = ?5",
    [STMT_PACK_PASSES] = "UPDATE pack SET passes = ?2 WHERE id = ?1 AND passes IS NOT ?2",
    [STMT_DELETION_NEW] = "INSERT INTO deletion(n, stream, from_seq, to_seq, records, n_from, t_from, t_to) "
                          "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [STMT_CONFLICT_NEW] = "INSERT OR IGNORE INTO conflict(stream, seq, n) VALUES(?1, ?2, ?3)",
    [STMT_GAP_NEW] = "INSERT INTO gap(stream, from_seq, to_seq, n, cause) VALUES(?1, ?2, ?3, ?4, ?5)",
    [STMT_DOUBT_GET] = "SELECT 1 FROM doubt WHERE stream = ?1 AND reason = ?2",
    [STMT_DOUBT_NEW] = "INSERT OR IGNORE INTO doubt(stream, reason, n) SELECT id, ?2, ?3 FROM stream "
                       "WHERE id = ?1 OR (?4 AND boot = (SELECT boot FROM stream WHERE id = ?1))",
    [STMT_TALLY] = "UPDATE tally SET records = records + ?1, packed = packed + ?2, calls = calls + ?3",
    [STMT_SERIES_FIND] = "SELECT id FROM series WHERE cluster = ?1 AND namespace = ?2 AND probe = ?3 AND "
                         "target = ?4 AND path = ?5 AND control = ?6",
    [STMT_SERIES_NEW] = "INSERT INTO series(cluster, namespace, probe, target, path, control) "
                        "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [STMT_ROLLUP_GET] = "SELECT counts FROM rollup WHERE series = ?1 AND level = ?2 AND from_ns = ?3",
    [STMT_ROLLUP_PUT] =
        "INSERT INTO rollup(series, level, from_ns, n_first, n_last, calls, unsent, counts) "
        "VALUES(?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET "
        "n_first = min(n_first, excluded.n_first), n_last = max(n_last, excluded.n_last), "
        "calls = calls + excluded.calls, unsent = unsent + excluded.unsent, counts = excluded.counts",
    [STMT_DOCUMENT_NEW] = "INSERT INTO document(n, kind, name, body) VALUES(?1, ?2, ?3, ?4)",
    [STMT_SESSION_PUT] =
        "INSERT INTO session(cluster, namespace, node, boot, key, version, connected, since_ns, "
        "last_seen_ns, records) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
        "ON CONFLICT DO UPDATE SET key = excluded.key, version = excluded.version, connected = "
        "excluded.connected, since_ns = excluded.since_ns, last_seen_ns = excluded.last_seen_ns, "
        "records = excluded.records",
    [STMT_REFUSAL_PUT] =
        "INSERT INTO refusal(key, reason, count, first_ns, last_ns) VALUES(?1, ?2, ?4, ?3, ?3) "
        "ON CONFLICT DO UPDATE SET count = count + excluded.count, "
        "last_ns = max(last_ns, excluded.last_ns)",
};

const char *store_stmt_sql(enum store_stmt which) {
    return statements[which];
}
