// Drives a server through Go's pgx 4; prints answers as programs.py reads them. Built by setup.sh.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var (
	background = context.Background()
	running    string
	out        = bufio.NewWriter(os.Stdout)
	escapes    = strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r")
)

func line(question, answer string) {
	fmt.Fprintf(out, "%s\t%s\t%s\n", running, escapes.Replace(question), escapes.Replace(answer))
}

func check(holds bool, what string, values ...interface{}) {
	if !holds {
		panic(fmt.Errorf(what, values...))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func address() string {
	return fmt.Sprintf("host=%s port=%s user=analyst dbname=loyalhouse application_name='%s' timezone=%s", os.Getenv("SERVER_HOST"),
		os.Getenv("SERVER_PORT"), os.Getenv("APPLICATION"), os.Getenv("TIME_ZONE"))
}

func open(simple bool) *pgx.Conn {
	config, err := pgx.ParseConfig(address())
	must(err)
	config.PreferSimpleProtocol = simple
	connection, err := pgx.ConnectConfig(background, config)
	must(err)
	return connection
}

func spell(value interface{}) string {
	switch known := value.(type) {
	case nil:
		return "NULL"
	case []byte:
		return "bytes " + hex.EncodeToString(known)
	case [16]uint8:
		return "uuid " + hex.EncodeToString(known[:])
	case time.Time:
		return "time " + known.UTC().Format(time.RFC3339Nano)
	case fmt.Stringer:
		return fmt.Sprintf("%T %s", value, known)
	}
	return fmt.Sprintf("%T %v", value, value)
}

func failure(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return "! " + refused.Code
	}
	return "! " + fmt.Sprintf("%T", err)
}

func rows(connection *pgx.Conn, sql string, values ...interface{}) string {
	found, err := connection.Query(background, sql, values...)
	if err != nil {
		return failure(err)
	}
	defer found.Close()
	var text []string
	for found.Next() {
		row, err := found.Values()
		if err != nil {
			return failure(err)
		}
		spelled := make([]string, len(row))
		for at, value := range row {
			spelled[at] = spell(value)
		}
		text = append(text, strings.Join(spelled, " | "))
	}
	if found.Err() != nil {
		return failure(found.Err())
	}
	return strings.Join(text, "\n") + " " + found.CommandTag().String()
}

func answers(section, before string, ask func(sql string) string) {
	content, err := os.ReadFile(os.Getenv("QUESTIONS"))
	must(err)
	for _, text := range strings.Split(string(content), "\n") {
		fields := strings.Split(text, "\t")
		if len(fields) == 3 && fields[0] == section {
			line(fields[1], ask(before+fields[2]))
		}
	}
}

func number(name string) int {
	found, err := strconv.Atoi(os.Getenv(name))
	must(err)
	return found
}

func asked(section, before string, simple bool) {
	connection := open(simple)
	defer connection.Close(background)
	answers(section, before, func(sql string) string { return rows(connection, sql) })
}

func connect() {
	connection := open(false)
	defer connection.Close(background)
	line("asked", rows(connection, "SELECT current_user, current_database(), current_setting('application_name'), current_setting('TimeZone')"))
	check(strings.HasPrefix(connection.PgConn().ParameterStatus("server_version"), "15"), "not version 15")
	must(connection.Ping(background))
	pool, err := pgxpool.Connect(background, address()+" pool_max_conns=3")
	must(err)
	defer pool.Close()
	sum := 0
	for at := 0; at < 20; at++ {
		var found int
		must(pool.QueryRow(background, "SELECT $1::int4", at).Scan(&found))
		sum += found
	}
	line("pool", strconv.Itoa(sum))
}

func parameters(simple bool) {
	connection := open(simple)
	defer connection.Close(background)
	day := time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC)
	for _, each := range []struct {
		sql    string
		values []interface{}
	}{
		{"SELECT $1::bool", []interface{}{true}}, {"SELECT $1::int2", []interface{}{int16(-7)}}, {"SELECT $1::int4", []interface{}{7}},
		{"SELECT $1::int8", []interface{}{int64(1) << 62}}, {"SELECT $1::float4", []interface{}{float32(0.1)}}, {"SELECT $1::float8", []interface{}{1e300}},
		{"SELECT $1::text", []interface{}{"it's \\ here"}}, {"SELECT $1::bytea", []interface{}{[]byte{0, 255}}}, {"SELECT $1::text", []interface{}{nil}},
		{"SELECT $1::numeric", []interface{}{"-12.3450"}}, {"SELECT $1::date", []interface{}{day}}, {"SELECT $1::timestamp", []interface{}{day}},
		{"SELECT $1::timestamptz", []interface{}{day}}, {"SELECT $1::interval", []interface{}{90 * time.Minute}},
		{"SELECT $1::uuid", []interface{}{"00000000-0000-0000-0000-000000000007"}}, {"SELECT $1::jsonb", []interface{}{map[string]int{"a": 1}}},
		{"SELECT $1::int4[]", []interface{}{[]int32{1, 3}}}, {"SELECT $1::text[]", []interface{}{[]string{"a", "b\"c"}}},
		{"SELECT name FROM customers WHERE id = $1", []interface{}{5}},
		{"SELECT count(*) FROM customers WHERE joined >= $1 AND city = ANY($2)", []interface{}{time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC), []string{"Oslo", "Lima"}}},
		{"SELECT id FROM customers ORDER BY id LIMIT $1 OFFSET $2", []interface{}{2, 3}}, {"SELECT $1::int4 + $1", []interface{}{21}},
		{"SELECT count(*) FROM orders WHERE amount > $1", []interface{}{"150.5"}},
	} {
		line(each.sql, rows(connection, each.sql, each.values...))
	}
}

func prepared() {
	connection := open(false)
	defer connection.Close(background)
	described, err := connection.Prepare(background, "by id", "SELECT id, name, joined FROM customers WHERE id = $1")
	must(err)
	line("described", fmt.Sprint(described.ParamOIDs, len(described.Fields)))
	for at := 1; at <= number("REUSES"); at++ {
		line(fmt.Sprintf("execution %d", at), rows(connection, "by id", at))
	}
	must(connection.Deallocate(background, "by id"))
}

func batch() {
	connection := open(false)
	defer connection.Close(background)
	queue := &pgx.Batch{}
	for at := 0; at < 20; at++ {
		queue.Queue("SELECT $1::int4 * 2", at)
	}
	queue.Queue("SELECT 1/0")
	queue.Queue("SELECT 3")
	results := connection.SendBatch(background, queue)
	for at := 0; at < 20; at++ {
		var found int
		must(results.QueryRow().Scan(&found))
		check(found == 2*at, "%d of %d", found, at)
	}
	_, err := results.Exec()
	line("failed", failure(err))
	results.Close()
	line("after", rows(connection, "SELECT 4"))
}

func cursor() {
	connection := open(false)
	defer connection.Close(background)
	found, err := connection.Query(background, "SELECT id, label FROM lines ORDER BY id")
	must(err)
	expected := int64(0)
	for found.Next() {
		var at int64
		var label string
		must(found.Scan(&at, &label))
		expected++
		check(at == expected && label == fmt.Sprintf("line %d", expected), "row %d is %d", expected, at)
	}
	must(found.Err())
	check(expected == int64(number("LINES")), "%d rows", expected)
}

func copyOut() {
	connection := open(false)
	defer connection.Close(background)
	for _, options := range []string{"", "(FORMAT csv, HEADER)", "(FORMAT binary)"} {
		sink := &bytes.Buffer{}
		tag, err := connection.PgConn().CopyTo(background, sink, "COPY (SELECT * FROM kinds ORDER BY id) TO STDOUT "+options)
		must(err)
		line("copy "+options, tag.String()+" "+spell(sink.Bytes()))
	}
}

func cancel() {
	connection := open(false)
	limited, stop := context.WithTimeout(background, 500*time.Millisecond)
	defer stop()
	_, err := connection.Exec(limited, os.Getenv("ENDLESS"))
	check(err != nil && connection.IsClosed(), "the query ended")
	connection = open(false)
	defer connection.Close(background)
	done := make(chan string)
	go func() {
		_, err := connection.Exec(background, os.Getenv("ENDLESS"))
		done <- failure(err)
	}()
	time.Sleep(500 * time.Millisecond)
	must(connection.PgConn().CancelRequest(background))
	line("canceled", <-done)
	line("alive", rows(connection, "SELECT 1"))
}

func transactions() {
	connection := open(false)
	defer connection.Close(background)
	transaction, err := connection.BeginTx(background, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable})
	must(err)
	line("level", rows(connection, "SHOW transaction_isolation"))
	inner, err := transaction.Begin(background)
	must(err)
	_, err = inner.Exec(background, "SELECT no_such FROM customers")
	line("bad", failure(err))
	must(inner.Rollback(background))
	line("back", rows(connection, "SELECT 2"))
	_, err = transaction.Exec(background, "SELECT 1/0")
	line("error", failure(err))
	line("refused", rows(connection, "SELECT 1"))
	line("commit", failure(transaction.Commit(background)))
	line("after", rows(connection, "SELECT 3"))
}

func metadata() {
	connection := open(false)
	defer connection.Close(background)
	describe := func(sql string) string {
		found, err := connection.Prepare(background, "", sql)
		if err != nil {
			return failure(err)
		}
		text := fmt.Sprint(found.ParamOIDs)
		for _, field := range found.Fields {
			text += fmt.Sprintf(" %s %d %d %d %d", field.Name, field.DataTypeOID, field.DataTypeSize, field.TypeModifier, field.TableAttributeNumber)
		}
		return text
	}
	answers("kind", "SELECT ", describe)
	answers("query", "", describe)
}

func main() {
	cases := map[string]func(){
		"connect": connect, "query": func() { asked("query", "", false) }, "query_simple": func() { asked("query", "", true) },
		"parameters": func() { parameters(false) }, "parameters_simple": func() { parameters(true) },
		"types_binary": func() { asked("kind", "SELECT ", false) }, "types_text": func() { asked("kind", "SELECT ", true) }, "prepared": prepared,
		"batch": batch, "cursor": cursor, "copy": copyOut, "cancel": cancel, "errors": func() { asked("error", "", false) },
		"transactions": transactions, "metadata": metadata,
	}
	for _, running = range os.Args[1:] {
		func() {
			defer out.Flush()
			defer func() {
				if problem := recover(); problem != nil {
					line("=error", fmt.Sprint(problem))
				}
			}()
			cases[running]()
			line("=ok", "")
		}()
	}
}
