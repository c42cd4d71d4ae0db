/* Drives a server through libpq itself; prints answers as programs.py reads them. Built by setup.sh. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_LIMIT 4096 /* bytes of a line of questions.tsv */
#define BINARY 1

static const char *running;
static char problem[512];

static void escaped(const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '\\': fputs("\\\\", stdout); break;
        case '\t': fputs("\\t", stdout); break;
        case '\n': fputs("\\n", stdout); break;
        case '\r': fputs("\\r", stdout); break;
        default: putchar(*text);
        }
    }
}

static void begin(const char *question) {
    printf("%s\t", running);
    escaped(question);
    putchar('\t');
}

static void answer(const char *question, const char *value) {
    begin(question);
    escaped(value);
    putchar('\n');
}

static PGconn *connected(void) {
    const char *names[] = {"host", "port", "user", "dbname", "application_name", "options", NULL};
    char options[128];
    snprintf(options, sizeof options, "-c TimeZone=%s", getenv("TIME_ZONE"));
    const char *values[] = {getenv("SERVER_HOST"), getenv("SERVER_PORT"), "analyst", "loyalhouse", getenv("APPLICATION"), options, NULL};
    PGconn *connection = PQconnectdbParams(names, values, 0);
    if (PQstatus(connection) != CONNECTION_OK) {
        snprintf(problem, sizeof problem, "%s", PQerrorMessage(connection));
    }
    return connection;
}

/* Prints rows with each value's type OID, size and typmod; an error with its fields. */
static void show(PGresult *result) {
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_SINGLE_TUPLE) {
        printf("%s", PQresStatus(status));
        const char fields[] = {PG_DIAG_SEVERITY_NONLOCALIZED, PG_DIAG_SQLSTATE, 0};
        for (const char *field = fields; *field; field++) {
            const char *text = PQresultErrorField(result, *field);
            printf(" %s", text ? text : "-");
        }
        return;
    }
    for (int column = 0; column < PQnfields(result); column++) {
        printf("%s(%u %d %d %d) ", PQfname(result, column), PQftype(result, column), PQfsize(result, column), PQfmod(result, column),
               PQfformat(result, column));
    }
    for (int row = 0; row < PQntuples(result); row++) {
        printf("\\n");
        for (int column = 0; column < PQnfields(result); column++) {
            if (column) fputs(" | ", stdout);
            if (PQgetisnull(result, row, column)) {
                fputs("NULL", stdout);
            } else if (PQfformat(result, column) == BINARY) {
                const unsigned char *value = (const unsigned char *)PQgetvalue(result, row, column);
                for (int at = 0; at < PQgetlength(result, row, column); at++) printf("%02x", value[at]);
            } else {
                escaped(PQgetvalue(result, row, column));
            }
        }
    }
}

static void shown(const char *question, PGresult *result) {
    begin(question);
    show(result);
    putchar('\n');
    PQclear(result);
}

static PGresult *extended(PGconn *connection, const char *sql, int format) {
    return PQexecParams(connection, sql, 0, NULL, NULL, NULL, NULL, format);
}

/* Asks every question of a section: `format` -1 is the simple protocol, 0 text, 1 binary. */
static void ask_all(PGconn *connection, const char *section, const char *before, int format) {
    FILE *file = fopen(getenv("QUESTIONS"), "r");
    char line[LINE_LIMIT], sql[LINE_LIMIT + 16];
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *name = strchr(line, '\t');
        if (!name) continue;
        *name++ = 0;
        char *text = strchr(name, '\t');
        if (!text || strcmp(line, section)) continue;
        *text++ = 0;
        snprintf(sql, sizeof sql, "%s%s", before, text);
        shown(name, format < 0 ? PQexec(connection, sql) : extended(connection, sql, format));
    }
    if (file) fclose(file);
}

static void connect_case(PGconn *connection) {
    const char *names[] = {"server_encoding", "client_encoding", "is_superuser", "session_authorization", "DateStyle", "IntervalStyle", "TimeZone",
                           "integer_datetimes", "standard_conforming_strings", "application_name", "in_hot_standby", "default_transaction_read_only", NULL};
    for (const char **name = names; *name; name++) {
        const char *value = PQparameterStatus(connection, *name);
        if (strcmp(*name, "is_superuser")) answer(*name, value ? value : "(none)");
    }
    if (PQserverVersion(connection) / 10000 != 15) snprintf(problem, sizeof problem, "version %d", PQserverVersion(connection));
    if (PQprotocolVersion(connection) != 3 || !PQbackendPID(connection)) snprintf(problem, sizeof problem, "no protocol 3 or pid");
    PQreset(connection);
    shown("after a reset", PQexec(connection, "SELECT current_user, current_setting('application_name')"));
}

static void query_case(PGconn *connection) { ask_all(connection, "query", "", -1); }
static void query_extended_case(PGconn *connection) { ask_all(connection, "query", "", 0); }
static void types_text_case(PGconn *connection) { ask_all(connection, "kind", "SELECT ", 0); }
static void types_text_simple_case(PGconn *connection) { ask_all(connection, "kind", "SELECT ", -1); }
static void types_binary_case(PGconn *connection) { ask_all(connection, "kind", "SELECT ", BINARY); }
static void errors_case(PGconn *connection) { ask_all(connection, "error", "", -1); }
static void errors_extended_case(PGconn *connection) { ask_all(connection, "error", "", 0); }

static void parameters_case(PGconn *connection) {
    const Oid int4[] = {23}, unknown[] = {0}, text[] = {25}, int2[] = {21};
    const char number[] = {0, 0, 0, 7}, small[] = {0, 7};
    const char *value[] = {"7"}, *none[] = {NULL}, *binary[] = {number}, *binary_small[] = {small}, *two[] = {"Oslo", "{1,4,7}"}, *word[] = {"seven"};
    int four[] = {4}, bytes[] = {2}, as_binary[] = {1};
    shown("inferred", PQexecParams(connection, "SELECT name FROM customers WHERE id = $1", 1, unknown, value, NULL, NULL, 0));
    shown("declared", PQexecParams(connection, "SELECT $1, $1 + 1", 1, int4, value, NULL, NULL, 0));
    shown("null", PQexecParams(connection, "SELECT $1", 1, int4, none, NULL, NULL, 0));
    shown("binary", PQexecParams(connection, "SELECT $1, $1 + 1", 1, int4, binary, four, as_binary, 1));
    shown("binary small", PQexecParams(connection, "SELECT $1 FROM customers WHERE id = $1", 1, int2, binary_small, bytes, as_binary, 0));
    shown("text declared", PQexecParams(connection, "SELECT $1 || '!'", 1, text, value, NULL, NULL, 0));
    shown("two", PQexecParams(connection, "SELECT id FROM customers WHERE city = $1 AND id = ANY($2) ORDER BY id", 2, NULL, two, NULL, NULL, 0));
    shown("bad text", PQexecParams(connection, "SELECT $1::int4", 1, unknown, word, NULL, NULL, 0));
    shown("bad length", PQexecParams(connection, "SELECT $1", 1, int4, binary_small, bytes, as_binary, 0));
    shown("too few", PQexecParams(connection, "SELECT $1::int, $2::int", 1, unknown, value, NULL, NULL, 0));
    shown("mismatch", PQexecParams(connection, "SELECT $1 || 'a' FROM customers WHERE id = $1", 1, unknown, value, NULL, NULL, 0));
}

static void prepared_case(PGconn *connection) {
    char number[16], question[32];
    const char *values[] = {number};
    PQclear(PQprepare(connection, "by id", "SELECT id, name, joined FROM customers WHERE id = $1", 0, NULL));
    for (int at = 1; at <= atoi(getenv("REUSES")); at++) {
        snprintf(number, sizeof number, "%d", at);
        snprintf(question, sizeof question, "execution %d", at);
        shown(question, PQexecPrepared(connection, "by id", 1, values, NULL, NULL, at % 2));
    }
    PGresult *described = PQdescribePrepared(connection, "by id");
    begin("described");
    printf("%d parameters, %u, %d columns\n", PQnparams(described), PQparamtype(described, 0), PQnfields(described));
    PQclear(described);
    shown("twice", PQprepare(connection, "by id", "SELECT 1", 0, NULL));
    shown("deallocated", PQexec(connection, "DEALLOCATE \"by id\""));
    shown("gone", PQexecPrepared(connection, "by id", 1, values, NULL, NULL, 0));
}

static void in_order(PGresult *result, int *expected) {
    char label[32];
    for (int row = 0; row < PQntuples(result); row++) {
        snprintf(label, sizeof label, "line %d", ++*expected);
        if (atoi(PQgetvalue(result, row, 0)) != *expected || strcmp(PQgetvalue(result, row, 1), label)) {
            snprintf(problem, sizeof problem, "row %d is %s", *expected, PQgetvalue(result, row, 0));
        }
    }
}

static void all_lines(int expected) {
    if (expected != atoi(getenv("LINES"))) snprintf(problem, sizeof problem, "%d rows", expected);
}

static void cursor_case(PGconn *connection) {
    int expected = 0, before;
    PQclear(PQexec(connection, "BEGIN; DECLARE page NO SCROLL CURSOR FOR SELECT id, label FROM lines ORDER BY id"));
    do {
        before = expected;
        PGresult *result = PQexec(connection, "FETCH 1000 FROM page");
        in_order(result, &expected);
        PQclear(result);
    } while (expected > before);
    PQclear(PQexec(connection, "CLOSE page; COMMIT"));
    all_lines(expected);
}

static void cursor_single_row_case(PGconn *connection) {
    int expected = 0;
    PQsendQuery(connection, "SELECT id, label FROM lines ORDER BY id");
    PQsetSingleRowMode(connection);
    for (PGresult *result; (result = PQgetResult(connection)); PQclear(result)) in_order(result, &expected);
    all_lines(expected);
}

static void copy_case(PGconn *connection) {
    const char *forms[] = {"", "(FORMAT csv, HEADER)", "(FORMAT binary)", NULL};
    char sql[128], *block;
    for (const char **form = forms; *form; form++) {
        snprintf(sql, sizeof sql, "COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT %s", *form);
        PGresult *result = PQexec(connection, sql);
        begin(*form);
        printf("%s %d columns, format %d: ", PQresStatus(PQresultStatus(result)), PQnfields(result), PQbinaryTuples(result));
        PQclear(result);
        for (int size; (size = PQgetCopyData(connection, &block, 0)) > 0; PQfreemem(block)) {
            for (int at = 0; at < size; at++) printf("%02x", (unsigned char)block[at]);
        }
        result = PQgetResult(connection);
        printf(" %s\n", PQcmdStatus(result));
        PQclear(result);
        PQclear(PQgetResult(connection));
    }
}

static void pipeline_case(PGconn *connection) {
    char question[32];
    PQenterPipelineMode(connection);
    for (int at = 0; at < 3; at++) {
        PQsendQueryParams(connection, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0);
        PQsendQueryParams(connection, at == 1 ? "SELECT 1/0" : "SELECT 2", 0, NULL, NULL, NULL, NULL, 0);
        PQsendQueryParams(connection, "SELECT 3", 0, NULL, NULL, NULL, NULL, 0);
        PQpipelineSync(connection);
    }
    for (int at = 0, syncs = 0; syncs < 3; at++) {
        PGresult *result = PQgetResult(connection);
        if (!result) continue;
        syncs += PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        snprintf(question, sizeof question, "answer %02d", at);
        shown(question, result);
    }
    PQexitPipelineMode(connection);
    shown("after", PQexec(connection, "SELECT 4"));
}

static void cancel_case(PGconn *connection) {
    char text[256];
    PGcancel *cancel = PQgetCancel(connection);
    PQsendQuery(connection, getenv("ENDLESS"));
    PQflush(connection);
    usleep(500000);
    answer("sent", PQcancel(cancel, text, sizeof text) ? "yes" : text);
    PQfreeCancel(cancel);
    shown("canceled", PQgetResult(connection));
    PQclear(PQgetResult(connection));
    shown("alive", PQexec(connection, "SELECT 1"));
}

static void status(const char *question, PGconn *connection) {
    const char *names[] = {"idle", "active", "in transaction", "in error", "unknown"};
    answer(question, names[PQtransactionStatus(connection)]);
}

static void transactions_case(PGconn *connection) {
    const char *steps[] = {"BEGIN", "SELECT 1", "BEGIN", "SAVEPOINT a", "SELECT 1/0", "SELECT 1", "ROLLBACK TO a", "SELECT 2", "RELEASE a",
                           "COMMIT", "COMMIT", "BEGIN READ ONLY", "SELECT nothing", "COMMIT", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                           "SHOW transaction_isolation", "END", "ROLLBACK", "SELECT 1; SELECT 1/0; SELECT 2", NULL};
    char question[96];
    for (int at = 0; steps[at]; at++) {
        PGresult *result = PQexec(connection, steps[at]);
        snprintf(question, sizeof question, "%02d %s", at, steps[at]);
        begin(question);
        show(result);
        printf(" %s\n", PQcmdStatus(result));
        PQclear(result);
        status(strcat(question, " leaves"), connection);
    }
}

/* Where an error points to, which needs the position that PostgreSQL gives. */
static void errors_position_case(PGconn *connection) {
    const char *statements[] = {"SELECT nam FROM customers", "SELECT * FROM no_such", "SELECT 1 +", "SELECT id FROM customers, orders",
                                "SELECT no_such(1)", "SELECT 'x'::int4", NULL};
    for (const char **statement = statements; *statement; statement++) {
        PGresult *result = PQexec(connection, *statement);
        const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
        answer(*statement, position ? position : "none");
        PQclear(result);
    }
}

static void notice(void *into, const PGresult *result) {
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED), *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    snprintf(into, 64, "%s %s", severity ? severity : "-", state ? state : "-");
}

static void transactions_notices_case(PGconn *connection) {
    const char *statements[] = {"COMMIT", "ROLLBACK", "BEGIN; BEGIN; COMMIT", "SET LOCAL statement_timeout = 0", NULL};
    char seen[64];
    PQsetNoticeReceiver(connection, notice, seen);
    for (const char **statement = statements; *statement; statement++) {
        seen[0] = 0;
        PQclear(PQexec(connection, *statement));
        answer(*statement, seen);
    }
}

static const struct {
    const char *name;
    void (*run)(PGconn *);
} CASES[] = {
    {"connect", connect_case}, {"query", query_case}, {"query_extended", query_extended_case}, {"parameters", parameters_case},
    {"types_text", types_text_case}, {"types_text_simple", types_text_simple_case}, {"types_binary", types_binary_case},
    {"prepared", prepared_case}, {"cursor", cursor_case}, {"cursor_single_row", cursor_single_row_case}, {"copy", copy_case},
    {"pipeline", pipeline_case}, {"cancel", cancel_case}, {"errors", errors_case}, {"errors_extended", errors_extended_case},
    {"errors_position", errors_position_case}, {"transactions", transactions_case}, {"transactions_notices", transactions_notices_case},
};

int main(int count, char **names) {
    for (int at = 1; at < count; at++) {
        for (size_t known = 0; known < sizeof CASES / sizeof *CASES; known++) {
            if (strcmp(names[at], CASES[known].name)) continue;
            running = names[at];
            problem[0] = 0;
            PGconn *connection = connected();
            if (!problem[0]) CASES[known].run(connection);
            PQfinish(connection);
            answer(problem[0] ? "=error" : "=ok", problem);
            fflush(stdout);
        }
    }
    return 0;
}
