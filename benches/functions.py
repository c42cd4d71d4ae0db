#!/usr/bin/env python3
"""How fast the loyalty functions are: beside the same metric in plain SQL on the same server, beside DuckDB on the same
Parquet files, and, for fits, beside lifetimes in Python; all in one run.

    python3 -m venv target/functions-env
    target/functions-env/bin/pip install 'psycopg[binary]' duckdb lifetimes
    target/functions-env/bin/python benches/functions.py target/release/loyalhouse

Both sides must give the same answer before anything is timed. They run in turns, the best of ROUNDS counts, since
other work on the machine only adds. Where plain SQL has two good forms, the faster one counts. What is quoted is the
ratio: below 1, the function is the faster one. Exits with 1 if a function is slower than plain SQL by more than
TOLERANCE, if a fit is less than FIT_TARGET times as fast as lifetimes, or if answers differ.

`--only nps,clv` runs what begins with these names, `--scale 0.1` takes a tenth of the rows, `--clv` fits clv() to each
country of a sample of a million customers within the server's default memory limit.
"""
import argparse
import datetime
import decimal
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "clients"))
from server import MIB, Server  # noqa: E402

ROUNDS = 5
TOLERANCE = 1.10  # of the ratio to plain SQL, for noise
FIT_TARGET = 100  # times as fast as lifetimes
SAME = 1e-7  # largest relative difference of two numbers that count as one
SAME_PARAMETERS = 0.01  # the same of parameters that two optimisers found
SURVEYS, CUSTOMERS, ORDERS, EVENTS = 5_000_000, 1_000_000, 10_000_000, 4_000_000
COUNTRIES = 50
CLV_SCALE = 100  # of `loyalhouse sample`: a million customers
CDNOW = ROOT / "tests" / "data" / "cdnow_master.parquet"
FIT_CUSTOMERS = 1_000_000
SEED = 7

# Numbers of these tables are hashes of the row's own, so that every run has the same ones.
TABLES = {
    "surveys": (SURVEYS, """SELECT i % 500000 AS customer_id, 'C' || hash(i) % {countries} AS country,
        CASE WHEN hash(i + 1) % 40 > 0 THEN (11 * sqrt(hash(i + 2) % 1000 / 1000.0))::int % 11 END AS score,
        1 + (hash(i + 3) % 5)::int AS satisfaction, 1 + (hash(i + 4) % 7)::int AS effort, (hash(i + 5) % 100) / 50.0 AS weight,
        (hash(i + 6) % 11)::int AS recommend, (hash(i + 7) % 11)::int AS repurchase,
        CASE WHEN hash(i + 8) % 20 > 0 THEN (hash(i + 9) % 11)::int END AS cross_buy,
        ['price', 'service', 'delivery', 'quality', 'returns', 'choice'][1 + (hash(i + 10) % 6)::int] AS attribute,
        1 + (hash(i + 11) % 10)::int AS rating, (hash(i + 12) % 11)::int AS importance,
        TIMESTAMP '2024-01-01' + to_seconds((hash(i + 13) % 63072000)::bigint) AS answered_at,
        ['Not at all likely - 0', '3', '7,5', '9 - Very likely', '10 - Extremely likely'][1 + (hash(i + 14) % 5)::int] AS answer
        FROM range({rows}) AS r(i)"""),
    "customers": (CUSTOMERS, """SELECT i AS customer_id, 'C' || hash(i) % {countries} AS country,
        DATE '2020-01-01' + (hash(i + 1) % 2000)::int AS started,
        CASE WHEN hash(i + 2) % 3 = 0 THEN DATE '2020-01-01' + (hash(i + 1) % 2000 + hash(i + 3) % 700)::int END AS ended,
        DATE '2025-12-31' - (hash(i + 4) % 900)::int AS last_order, 1 + (hash(i + 5) % 40)::int AS orders,
        (hash(i + 6) % 500000) / 100.0 AS amount, (hash(i + 7) % 200)::double AS mrr_start,
        CASE WHEN hash(i + 8) % 10 > 0 THEN (hash(i + 9) % 220)::double ELSE 0 END AS mrr_end,
        hash(i + 10) % 2 = 0 AS member, (hash(i + 11) % 1500)::int AS duration, hash(i + 12) % 3 > 0 AS churned,
        1 + (hash(i + 13) % 5)::int AS r, 1 + (hash(i + 14) % 5)::int AS f, (hash(i + 15) % 12)::bigint AS frequency,
        CASE WHEN hash(i + 15) % 12 = 0 THEN 0 ELSE (hash(i + 16) % 100) / 4.0 END AS recency, 25 + (hash(i + 17) % 100) / 4.0 AS t,
        CASE WHEN hash(i + 18) % 15 > 0 THEN (hash(i + 19) % 101)::double END AS commitment, (hash(i + 20) % 101)::double AS engagement
        FROM range({rows}) AS r(i)"""),
    "orders": (ORDERS, """SELECT i // 2 AS order_id, c AS customer_id, 'C' || hash(c) % {countries} AS country,
        day AS ordered_on, day::timestamp + to_seconds((hash(i + 3) % 86400)::bigint) AS ordered_at,
        ((hash(i + 4) % 20000) / 100.0)::decimal(10, 2) AS amount
        FROM (SELECT i, c, DATE '2024-01-01' + (hash(i // 2 + 2) % 700)::int AS day
              FROM (SELECT i, (({customers} + 1) * pow((hash(i // 2) % 1000000) / 1000000.0, 2))::bigint % {customers} AS c FROM range({rows}) AS r(i)))"""),
    "events": (EVENTS, """SELECT hash(i // 8) % 400000 AS customer_id, i,
        TIMESTAMP '2024-01-01' + to_minutes((hash(i // 8 + 1) % 500000)::bigint) + to_microseconds((i % 8 * 500000000 + hash(i) % 400000000)::bigint) AS ts,
        ['view', 'view', 'cart', 'buy', 'view', 'cart'][1 + (hash(i + 2) % 6)::int] AS event FROM range({rows}) AS r(i)"""),
}


@dataclass
class Metric:
    """One metric in both forms. `{g}` stands for the group's column with a comma, `{by}` for its GROUP BY."""
    name: str
    ours: str
    plain: tuple
    duck: str = ""  # if it is spelled differently there; "-" if there is none
    grouped: bool = True


def over(table, name, ours, *plain, duck=""):
    """A metric of one expression over a table."""
    def query(expression):
        return f"SELECT {{g}}{expression} FROM {table} {{by}}"
    return Metric(name, query(ours), tuple(map(query, plain)), duck and query(duck))


def fields(name, table, call, names, plain, rest=""):
    """A metric whose result is a struct: its fields beside expressions over what `plain` collects."""
    ours = ", ".join(f"(c).{field}" for field in names)
    theirs = ", ".join(names.values())
    return Metric(name, f"SELECT {{g}}{ours} FROM (SELECT {{g}}{call} AS c FROM {table} {{by}}) AS s",
                  (f"SELECT {{g}}{theirs} FROM (SELECT *{rest} FROM (SELECT {{g}}{plain} FROM {table} {{by}}) AS s) AS s",))


def per_row(name, table, ours, plain, duck=""):
    """A scalar of every row, summed up."""
    def query(expression):
        return f"SELECT {{g}}sum({expression}) FROM {table} {{by}}"
    return Metric(name, query(ours), (query(plain),), duck and query(duck), grouped=False)


Z = "1.959963984540054"
COUNTS = "count(*) FILTER (WHERE score >= 9) AS p, count(*) FILTER (WHERE score <= 6) AS d, count(score) AS n"
AFTER = "answered_at >= TIMESTAMP '2025-01-01'"
SIDES = (f"count(score) FILTER (WHERE {AFTER}) AS n2, count(*) FILTER (WHERE score >= 9 AND {AFTER}) AS p2, "
         f"count(*) FILTER (WHERE score <= 6 AND {AFTER}) AS d2, count(score) AS n, "
         "count(*) FILTER (WHERE score >= 9) AS p, count(*) FILTER (WHERE score <= 6) AS d")
NPS = [
    over("surveys", "nps", "nps(score)",
         "100.0 * (count(*) FILTER (WHERE score >= 9) - count(*) FILTER (WHERE score <= 6)) / count(score)",
         "100.0 * sum(CASE WHEN score >= 9 THEN 1 WHEN score <= 6 THEN -1 ELSE 0 END) / count(score)"),
    over("surveys", "nps thresholds", "nps(satisfaction, 3, 5)",
         "100.0 * (count(*) FILTER (WHERE satisfaction >= 5) - count(*) FILTER (WHERE satisfaction <= 3)) / count(satisfaction)",
         "100.0 * sum(CASE WHEN satisfaction >= 5 THEN 1 WHEN satisfaction <= 3 THEN -1 ELSE 0 END) / count(satisfaction)"),
    over("surveys", "nps_weighted", "nps_weighted(score, weight)",
         "100.0 * sum(CASE WHEN score >= 9 THEN weight WHEN score <= 6 THEN -weight END) / sum(CASE WHEN score IS NOT NULL THEN weight END)",
         "100.0 * sum(CASE WHEN score >= 9 THEN weight WHEN score <= 6 THEN -weight END) / sum(weight) FILTER (WHERE score IS NOT NULL)"),
    fields("nps_ci", "surveys", "nps_ci(score)", {
        "nps": "100.0 * (p - d) / n", "low": f"100 * greatest(-1, m - {Z} * sqrt((pp + dd - m * m) / (n + 3)))",
        "high": f"100 * least(1, m + {Z} * sqrt((pp + dd - m * m) / (n + 3)))"},
        COUNTS, ", (p + 0.75) / (n + 3.0) AS pp, (d + 0.75) / (n + 3.0) AS dd, (p - d) / (n + 3.0) AS m"),
    Metric("nps_moe", "SELECT {g}nps_moe(score) FROM surveys {by}",
           (f"SELECT {{g}}{Z} * 100 * sqrt(((p + d) * 1.0 / n - pow((p - d) * 1.0 / n, 2)) / n) FROM (SELECT {{g}}{COUNTS} FROM surveys {{by}}) AS s",)),
    fields("nps_change", "surveys", f"nps_change(score, {AFTER})", {
        "difference": "100 * (m2 - m1)", "z": "(m2 - m1) / sqrt((s1 - m1 * m1) / n1 + (s2 - m2 * m2) / n2)"},
        SIDES, """, n - n2 AS n1, (p2 - d2) * 1.0 / n2 AS m2, (p2 + d2) * 1.0 / n2 AS s2,
        (p - p2 - d + d2) * 1.0 / (n - n2) AS m1, (p - p2 + d - d2) * 1.0 / (n - n2) AS s1"""),
    Metric("nps_category", "SELECT nps_category(score) AS kind, count(*) FROM surveys GROUP BY 1",
           ("""SELECT CASE WHEN score >= 9 THEN 'promoter' WHEN score <= 6 THEN 'detractor' WHEN score IS NOT NULL THEN 'passive' END AS kind,
               count(*) FROM surveys GROUP BY 1""",), grouped=False),
]
SATISFACTION = [
    over("surveys", "csat", "csat(satisfaction)", "100.0 * count(*) FILTER (WHERE satisfaction >= 4) / count(satisfaction)"),
    over("surveys", "csat threshold", "csat(score, 8)", "100.0 * count(*) FILTER (WHERE score >= 8) / count(score)"),
    over("surveys", "csat condition", "csat(score > 7)", "100.0 * count(*) FILTER (WHERE score > 7) / count(score)"),
    over("surveys", "ces", "ces(effort)", "avg(effort)"),
    over("surveys", "cli", "cli(recommend, repurchase, cross_buy)", "avg(recommend + repurchase + cross_buy) / 3.0"),
    Metric("csi", "SELECT {g}csi(attribute, rating, importance) FROM surveys {by}", (
        """SELECT {g}100.0 * sum(s * i) / sum(i) FROM (SELECT {g}attribute, (avg(rating) - 1) / 9 AS s, avg(importance) AS i
           FROM surveys GROUP BY {g}attribute) AS a {by}""",)),
    per_row("loyalty_index", "customers", "loyalty_index(ARRAY[engagement, commitment, mrr_start / 2], ARRAY[5, 3, 2])",
            """(5 * engagement + 3 * coalesce(commitment, 0) + 2 * (mrr_start / 2)) / (7 + CASE WHEN commitment IS NULL THEN 0 ELSE 3 END)"""),
]
START, END, BASE = "DATE '2025-01-01'", "DATE '2025-07-01'", "DATE '2024-07-01'"
LEFT = f"count(*) FILTER (WHERE started <= {START} AND ended > {START} AND ended <= {END})"
AT_RISK = f"count(*) FILTER (WHERE started <= {START} AND (ended IS NULL OR ended > {START}))"
OF_EVENTS = """SELECT {{g}}{result} FROM (SELECT {{g}}customer_id,
    max(CASE WHEN ordered_on >= {base} AND ordered_on < {start} THEN 1 ELSE 0 END) AS b,
    max(CASE WHEN ordered_on >= {start} AND ordered_on < {end} THEN 1 ELSE 0 END) AS r
    FROM orders WHERE ordered_on >= {base} AND ordered_on < {end} GROUP BY {{g}}customer_id) AS c {{by}}"""


def of_events(name, result):
    return Metric(f"{name} events", f"SELECT {{g}}{name}(customer_id, ordered_on, {BASE}, {START}, {END}) FROM orders {{by}}",
                  (OF_EVENTS.format(result=result, base=BASE, start=START, end=END),))


CHURN = [
    over("customers", "churn_rate condition", "churn_rate(churned)", "count(*) FILTER (WHERE churned) * 1.0 / count(churned)",
         "avg(churned::int)"),
    over("customers", "churn_rate inactivity", "churn_rate(last_order, DATE '2025-12-31', INTERVAL '90 days')",
         "count(*) FILTER (WHERE last_order < DATE '2025-10-02') * 1.0 / count(last_order)"),
    over("customers", "churn_rate contract", f"churn_rate(started, ended, {START}, {END})", f"{LEFT} * 1.0 / nullif({AT_RISK}, 0)"),
    of_events("churn_rate", "1 - sum(b * r) * 1.0 / sum(b)"),
    over("customers", "retention_rate condition", "retention_rate(member)", "count(*) FILTER (WHERE member) * 1.0 / count(member)",
         "avg(member::int)"),
    over("customers", "retention_rate contract", f"retention_rate(started, ended, {START}, {END})", f"1 - {LEFT} * 1.0 / nullif({AT_RISK}, 0)"),
    of_events("retention_rate", "sum(b * r) * 1.0 / sum(b)"),
    over("customers", "revenue_churn_rate gross", "revenue_churn_rate(mrr_start, mrr_end)",
         "1 - sum(least(mrr_start, mrr_end)) / sum(mrr_start)"),
    over("customers", "revenue_churn_rate net", "revenue_churn_rate(mrr_start, mrr_end, 'net')",
         "1 - sum(mrr_end) FILTER (WHERE mrr_start > 0) / sum(mrr_start)",
         "1 - sum(CASE WHEN mrr_start > 0 THEN mrr_end END) / sum(mrr_start)"),
]
PURCHASES = [
    over("orders", "aov", "aov(amount)", "avg(amount)", "sum(amount) / count(amount)"),
    over("orders", "aov per order", "aov(amount, order_id)", "sum(amount) / count(DISTINCT order_id)"),
    over("orders", "purchase_frequency", "purchase_frequency(customer_id)", "count(customer_id) * 1.0 / count(DISTINCT customer_id)"),
    Metric("purchase_frequency by day", "SELECT {g}purchase_frequency(customer_id, ordered_on) FROM orders {by}", (
        """SELECT {g}sum(n) * 1.0 / count(*) FROM (SELECT {g}customer_id, count(*) AS n FROM
           (SELECT DISTINCT {g}customer_id, ordered_on FROM orders) AS d GROUP BY {g}customer_id) AS c {by}""",
        "SELECT {g}count(*) * 1.0 / count(DISTINCT customer_id) FROM (SELECT DISTINCT {g}customer_id, ordered_on FROM orders) AS d {by}",
        """SELECT {g}sum(n) * 1.0 / count(*) FROM (SELECT {g}customer_id, count(DISTINCT ordered_on) AS n FROM orders
           GROUP BY {g}customer_id) AS c {by}""")),
    Metric("repeat_purchase_rate", "SELECT {g}repeat_purchase_rate(customer_id) FROM orders {by}", (
        "SELECT {g}count(*) FILTER (WHERE n > 1) * 1.0 / count(*) FROM (SELECT {g}customer_id, count(*) AS n FROM orders GROUP BY {g}customer_id) AS c {by}",)),
    Metric("repeat_purchase_rate by day", "SELECT {g}repeat_purchase_rate(customer_id, ordered_on) FROM orders {by}", (
        """SELECT {g}count(*) FILTER (WHERE first < last) * 1.0 / count(*) FROM (SELECT {g}customer_id, min(ordered_on) AS first, max(ordered_on) AS last
           FROM orders GROUP BY {g}customer_id) AS c {by}""",)),
    over("orders", "clv historic", "clv(customer_id, amount)", "sum(amount) / count(DISTINCT customer_id)"),
    Metric("clv_summary", """SELECT {g}sum((s).frequency), sum((s).recency), sum((s).t), sum((s).monetary)
        FROM (SELECT {g}clv_summary(ordered_at, amount, DATE '2025-12-31', 'week') AS s FROM orders GROUP BY {g}customer_id) AS c {by}""", (
        """SELECT {g}sum(days - 1), sum(last - first) / 7.0, sum(DATE '2025-12-31' - first) / 7.0,
        sum(CASE WHEN days > 1 THEN (amount - of_first) / (days - 1) ELSE 0 END) FROM (
        SELECT {g}customer_id, count(*) AS days, min(day) AS first, max(day) AS last, sum(amount) AS amount,
        sum(amount) FILTER (WHERE day = first_day) AS of_first FROM (
        SELECT *, min(day) OVER (PARTITION BY customer_id) AS first_day FROM (
        SELECT {g}customer_id, ordered_at::date AS day, sum(amount)::double precision AS amount FROM orders
        WHERE ordered_at < DATE '2026-01-01' GROUP BY {g}customer_id, ordered_at::date) AS d) AS d GROUP BY {g}customer_id) AS c {by}""",
        """SELECT {g}sum(days - 1), sum(last - first) / 7.0, sum(DATE '2025-12-31' - first) / 7.0,
        sum(CASE WHEN days > 1 THEN (amount - of_first) / (days - 1) ELSE 0 END) FROM (
        SELECT {g}customer_id, count(*) AS days, min(day) AS first, max(day) AS last, sum(amount) AS amount,
        first_value(amount ORDER BY day) AS of_first FROM (
        SELECT {g}customer_id, ordered_at::date AS day, sum(amount)::double precision AS amount FROM orders
        WHERE ordered_at < DATE '2026-01-01' GROUP BY {g}customer_id, ordered_at::date) AS d GROUP BY {g}customer_id) AS c {by}"""), grouped=False),
]
COHORTS = """WITH active AS (SELECT DISTINCT customer_id, date_trunc('month', ordered_on)::date AS m FROM orders),
    cells AS (SELECT f, (date_part('year', m) - date_part('year', f)) * 12 + date_part('month', m) - date_part('month', f) AS k,
              count(*) AS n FROM ({rows}) AS r GROUP BY 1, 2)
    SELECT f, k, first_value(n) OVER (PARTITION BY f ORDER BY k) AS size, n, n * 1.0 / first_value(n) OVER (PARTITION BY f ORDER BY k) FROM cells"""
CURVE = """WITH counts AS (SELECT {g}duration AS t, count(*) FILTER (WHERE churned) AS d, count(*) AS n FROM customers GROUP BY {g}duration),
    risk AS (SELECT *, sum(n) OVER ({p}ORDER BY t DESC) AS r FROM counts),
    curve AS (SELECT *, exp(sum(CASE WHEN d < r THEN ln(1 - d::double precision / r) ELSE '-Infinity'::double precision END) OVER ({p}ORDER BY t)) AS s,
              sum(d::double precision / r / nullif(r - d, 0)) OVER ({p}ORDER BY t) AS v FROM risk WHERE d > 0) """
INTERVAL = f"CASE WHEN s > 0 THEN exp(-exp(ln(-ln(s)) {{}} {Z} * sqrt(v) / ln(s))) END"
COHORT_AND_SURVIVAL = [
    Metric("cohort_retention", """SELECT (c).cohort, (c).period, (c).cohort_size, (c).active, (c).rate
        FROM (SELECT unnest(cohort_retention(customer_id, ordered_on)) AS c FROM orders) AS s""", (
        COHORTS.format(rows="SELECT m, min(m) OVER (PARTITION BY customer_id) AS f FROM active"),
        COHORTS.format(rows="SELECT m, f FROM active JOIN (SELECT customer_id, min(m) AS f FROM active GROUP BY 1) AS firsts USING (customer_id)"),
    ), grouped=False),
    Metric("survival", """SELECT {g}(c).t, (c).at_risk, (c).events, (c).survival, (c).low, (c).high
        FROM (SELECT {g}unnest(survival(duration, churned)) AS c FROM customers {by}) AS s""",
           (CURVE + f"SELECT {{g}}t, r, d, s, {INTERVAL.format('-')}, {INTERVAL.format('+')} FROM curve",)),
    Metric("survival_at", "SELECT {g}survival_at(duration, churned, 365) FROM customers {by}",
           (CURVE + "SELECT {g}min(s) FROM curve WHERE t <= 365 {by}",)),
    Metric("median_lifetime", "SELECT {g}median_lifetime(duration, churned) FROM customers {by}",
           (CURVE + "SELECT {g}min(t) FROM curve WHERE s <= 0.5 {by}",)),
    Metric("mean_lifetime", "SELECT {g}mean_lifetime(duration, churned, 1000) FROM customers {by}",
           (CURVE + """SELECT {g}sum(a) FROM (SELECT {g}coalesce(lag(s) OVER ({p}ORDER BY t), 1) * (t - coalesce(lag(t) OVER ({p}ORDER BY t), 0))
            + CASE WHEN lead(t) OVER ({p}ORDER BY t) IS NULL THEN s * (1000 - t) ELSE 0 END AS a FROM curve WHERE t <= 1000) AS a {by}""",)),
]
WILSON = f"({{p}} + {Z} * {Z} / 2 / n {{sign}} {Z} * sqrt({{p}} * (1 - {{p}}) / n + {Z} * {Z} / 4 / n / n)) / (1 + {Z} * {Z} / n)"
STATISTICS = [
    fields("rate_ci", "customers", "rate_ci(churned)", {
        "rate": "p", "low": WILSON.format(p="p", sign="-"), "high": WILSON.format(p="p", sign="+")},
        "count(*) FILTER (WHERE churned)::double precision / count(churned) AS p, count(churned)::double precision AS n"),
    per_row("wilson_ci", "customers", "(wilson_ci(r, orders + 5)).low",
            WILSON.replace(" n", " (orders + 5)::double precision").format(p="(r / (orders + 5)::double precision)", sign="-")),
    fields("rate_change", "customers", "rate_change(churned, member)", {
        "difference": "p2 - p1", "z": "(p2 - p1) / sqrt(p * (1 - p) * (1 / n1 + 1 / n2))"},
        """count(*) FILTER (WHERE churned)::double precision / count(*) AS p,
        count(*) FILTER (WHERE churned AND member)::double precision / count(*) FILTER (WHERE member) AS p2,
        count(*) FILTER (WHERE churned AND NOT member)::double precision / count(*) FILTER (WHERE NOT member) AS p1,
        count(*) FILTER (WHERE member)::double precision AS n2, count(*) FILTER (WHERE NOT member)::double precision AS n1"""),
    fields("lift_test", "customers", "lift_test(amount, member)", {
        "difference": "m2 - m1", "t": "(m2 - m1) / sqrt(v1 / n1 + v2 / n2)",
        "df": "pow(v1 / n1 + v2 / n2, 2) / (pow(v1 / n1, 2) / (n1 - 1) + pow(v2 / n2, 2) / (n2 - 1))"},
        """avg(amount) FILTER (WHERE member) AS m2, avg(amount) FILTER (WHERE NOT member) AS m1,
        var_samp(amount) FILTER (WHERE member) AS v2, var_samp(amount) FILTER (WHERE NOT member) AS v1,
        count(*) FILTER (WHERE member) * 1.0 AS n2, count(*) FILTER (WHERE NOT member) * 1.0 AS n1"""),
    fields("trend_test", "surveys", "trend_test(answered_at, score)", {"slope": "k", "r2": "r2"},
           """regr_slope(score, date_part('epoch', answered_at) / 86400) AS k, regr_r2(score, date_part('epoch', answered_at) / 86400) AS r2"""),
    fields("trend_test numbers", "surveys", "trend_test(importance, score)", {"slope": "k", "intercept": "i", "r2": "r2"},
           "regr_slope(score, importance) AS k, regr_intercept(score, importance) AS i, regr_r2(score, importance) AS r2"),
]
VISITED = "ts >= TIMESTAMP '2024-0{0}-01' AND ts < TIMESTAMP '2024-0{1}-01'"
FUNNEL = """SELECT steps, count(*) FROM (SELECT customer_id, {0} AS steps FROM {1} GROUP BY customer_id) AS c GROUP BY 1"""
SORTED = "(PARTITION BY customer_id ORDER BY ts)"
BEHAVIOUR = [
    Metric("retention", f"""SELECT r, count(*) FROM (SELECT array_to_string(r, ',') AS r FROM (SELECT customer_id,
        retention({VISITED.format(1, 2)}, {VISITED.format(2, 3)}, {VISITED.format(3, 4)}) AS r FROM events GROUP BY customer_id) AS c) AS c GROUP BY 1""", (
        f"""SELECT array_to_string(ARRAY[a, a AND b, a AND c], ',') AS r, count(*) FROM (SELECT customer_id, bool_or({VISITED.format(1, 2)}) AS a,
        bool_or({VISITED.format(2, 3)}) AS b, bool_or({VISITED.format(3, 4)}) AS c FROM events GROUP BY customer_id) AS c GROUP BY 1""",), "-", grouped=False),
    Metric("window_funnel", FUNNEL.format("window_funnel(INTERVAL '1 hour', ts, event = 'view', event = 'cart', event = 'buy')", "events"), (
        FUNNEL.format("""max(CASE WHEN event = 'buy' AND ts - e2 <= INTERVAL '1 hour' THEN 3 WHEN e2 IS NOT NULL THEN 2 WHEN e1 IS NOT NULL THEN 1 ELSE 0 END)""",
                      f"""(SELECT *, max(CASE WHEN event = 'cart' AND ts - e1 <= INTERVAL '1 hour' THEN e1 END) OVER {SORTED} AS e2
                      FROM (SELECT *, max(CASE WHEN event = 'view' THEN ts END) OVER {SORTED} AS e1 FROM events) AS e) AS e"""),), grouped=False),
    Metric("sessionize", f"SELECT sum(s), max(s) FROM (SELECT sessionize(ts, INTERVAL '30 minutes') OVER {SORTED} AS s FROM events) AS e", (
        f"""SELECT sum(s), max(s) FROM (SELECT 1 + sum(new) OVER {SORTED} AS s FROM (SELECT customer_id, ts,
        CASE WHEN ts - lag(ts) OVER {SORTED} > INTERVAL '30 minutes' THEN 1 ELSE 0 END AS new FROM events) AS e) AS e""",), grouped=False),
]


def rank_score(value):
    return f"1 + floor(5 * (rank() OVER ({{p}}ORDER BY {value}) - 1)::double precision / count({value}) OVER ({{q}}))::int"


GRID = """CASE WHEN r <= 2 AND f <= 2 THEN 'Hibernating' WHEN r <= 2 AND f <= 4 THEN 'At Risk' WHEN r <= 2 THEN 'Cannot Lose Them'
    WHEN r = 3 AND f <= 2 THEN 'About To Sleep' WHEN r = 3 AND f = 3 THEN 'Need Attention' WHEN r <= 4 AND f >= 4 THEN 'Loyal Customers'
    WHEN r = 4 AND f = 1 THEN 'Promising' WHEN r = 5 AND f = 1 THEN 'New Customers' WHEN f <= 3 THEN 'Potential Loyalists' ELSE 'Champions' END"""
CODES = "{0}::text || {1}::text || {2}::text".format(*(f"({rank_score(value)})" for value in ("last_order", "orders", "amount")))
SEGMENTS = [
    Metric("quantile_score", "SELECT {g}sum(s) FROM (SELECT {g}quantile_score(amount) OVER ({q}) AS s FROM customers) AS c {by}",
           (f"SELECT {{g}}sum(s) FROM (SELECT {{g}}{rank_score('amount')} AS s FROM customers) AS c {{by}}",)),
    Metric("rfm_score", "SELECT s, count(*) FROM (SELECT rfm_score(last_order, orders, amount) OVER ({q}) AS s FROM customers) AS c GROUP BY 1",
           (f"SELECT s, count(*) FROM (SELECT {CODES} AS s FROM customers) AS c GROUP BY 1",)),
    Metric("rfm_segment", "SELECT rfm_segment(r, f) AS s, count(*) FROM customers GROUP BY 1",
           (f"SELECT {GRID} AS s, count(*) FROM customers GROUP BY 1",), grouped=False),
]
ALIVE = """1 / (1 + CASE WHEN frequency > 0 THEN 0.793 / (1.426 + frequency::double precision)
    * pow((4.414 + t) / (4.414 + recency), 0.243 + frequency::double precision) ELSE 0 END)"""
SCALARS = [
    per_row("tenure", "customers", "tenure(started, DATE '2025-12-15')", """(2025 - date_part('year', started)) * 12 + 12 - date_part('month', started)
        - CASE WHEN date_part('day', started) > 15 THEN 1 ELSE 0 END"""),
    per_row("survey_score", "surveys", "survey_score(answer)", "replace(substring(answer FROM '-?[0-9]+(?:[.,][0-9]+)?'), ',', '.')::double precision",
            duck="replace(regexp_extract(answer, '[0-9]+(?:[.,][0-9]+)?'), ',', '.')::double precision"),
    per_row("clv_simple", "customers", "clv_simple(amount, orders, duration, 0.3)", "amount * orders * duration * 0.3"),
    per_row("clv_contractual", "customers", "clv_contractual(mrr_start, engagement / 200, 0.1)", "mrr_start * (engagement / 200) / (1.1 - engagement / 200)"),
    per_row("p_alive", "customers", "p_alive(bgnbd(0.243, 4.414, 0.793, 2.426), frequency, recency, t)", ALIVE),
    per_row("expected_spend", "customers",
            "expected_spend(gamma_gamma(6.25, 3.74, 15.44), frequency, CASE WHEN frequency > 0 THEN amount ELSE 0 END)",
            "CASE WHEN frequency > 0 THEN 6.25 * (15.44 + frequency * amount) / (6.25 * frequency::double precision + 2.74) ELSE 6.25 * 15.44 / (3.74 - 1) END"),
]
METRICS = [*NPS, *SATISFACTION, *CHURN, *PURCHASES, *COHORT_AND_SURVIVAL, *STATISTICS, *BEHAVIOUR, *SEGMENTS, *SCALARS]


def filled(query, grouped):
    """The query for the whole table, or for each country."""
    parts = ("country, ", "GROUP BY country", "PARTITION BY country ", "PARTITION BY country") if grouped else ("", "", "", "")
    for name, part in zip(("{g}", "{by}", "{p}", "{q}"), parts):
        query = query.replace(name, part)
    return query


def value(cell):
    return float(cell) if isinstance(cell, (decimal.Decimal, int)) and not isinstance(cell, bool) else \
        cell.date() if isinstance(cell, datetime.datetime) else cell


def same(left, right):
    """Whether two answers are one, but for the last digits of numbers and the order of rows."""
    def order(row):
        return [(cell is None, f"{cell:.6e}" if isinstance(cell, float) else str(cell)) for cell in row]
    left, right = (sorted(([value(cell) for cell in row] for row in rows), key=order) for rows in (left, right))
    return len(left) == len(right) and all(
        a == b or isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=SAME, abs_tol=SAME)
        for one, other in zip(left, right) for a, b in zip(one, other))


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best(sides, rounds):
    """The least time of each side, which run in turns."""
    times = [math.inf] * len(sides)
    for _ in range(rounds):
        for place, work in enumerate(sides):
            times[place] = min(times[place], seconds(work))
    return times


def connect(server):
    return psycopg.connect(host=server.host, port=server.port, dbname="loyalhouse", user="tester", autocommit=True)


def write_tables(folder, scale):
    with duckdb.connect() as engine:
        for name, (rows, query) in TABLES.items():
            query = query.format(rows=int(rows * scale), countries=COUNTRIES, customers=int(CUSTOMERS * scale))
            engine.execute(f"COPY ({query}) TO '{folder / name}.parquet' (COMPRESSION zstd)")


def measure(metric, grouped, ours, duck, rounds):
    """One line of the table; returns what is wrong with it."""
    query, *plain = (filled(query, grouped) for query in (metric.ours, *metric.plain))
    theirs = "" if metric.duck == "-" else filled(metric.duck, grouped) if metric.duck else plain[0]
    label = metric.name + (" by country" if grouped else "")
    wanted = ours.execute(query).fetchall()
    problems = [f"{label}: another answer than {form}" for form in plain if not same(wanted, ours.execute(form).fetchall())]
    if theirs and not same(wanted, duck.execute(theirs).fetchall()):
        problems.append(f"{label}: another answer than DuckDB's")
    sides = [lambda form=form: ours.execute(form).fetchall() for form in (query, *plain)]
    if theirs:
        sides.append(lambda: duck.execute(theirs).fetchall())
    times = best(sides, rounds)
    least = min(times[1:1 + len(plain)])
    beside = f"{times[-1] * 1000:8.1f} {times[0] / times[-1]:6.2f}" if theirs else f"{'':8} {'':6}"
    slow = times[0] > TOLERANCE * least
    print(f"{label:42} {times[0] * 1000:8.1f} {least * 1000:8.1f} {times[0] / least:6.2f} {beside}{'  slower' if slow else ''}", flush=True)
    return problems + [f"{label}: {times[0] / least:.2f} x the time of plain SQL"] * slow


def write_fits(folder):
    """Summaries to fit: of CDNOW's whole cohort as of 1997-09-30, and of customers drawn from the BG/NBD model."""
    import numpy
    import pandas
    with duckdb.connect() as engine:
        engine.execute(f"""COPY (SELECT count(*) - 1 AS frequency, (max(date) - min(date)) / 7.0::double AS recency,
            (DATE '1997-09-30' - min(date)) / 7.0::double AS t
            FROM (SELECT DISTINCT customer_id, date::date AS date FROM '{CDNOW}' WHERE date::date <= DATE '1997-09-30')
            GROUP BY customer_id ORDER BY customer_id) TO '{folder / "fit_cdnow.parquet"}'""")
        dice = numpy.random.default_rng(SEED)
        rate = dice.gamma(0.6, 1 / 8.0, FIT_CUSTOMERS) / 7  # a day
        leaves = dice.beta(0.8, 2.5, FIT_CUSTOMERS)
        t = dice.integers(180, 365, FIT_CUSTOMERS)
        frequency, recency, now = (numpy.zeros(FIT_CUSTOMERS) for _ in range(3))
        here = numpy.arange(FIT_CUSTOMERS)
        while here.size:
            now[here] += dice.exponential(1 / rate[here])
            here = here[now[here] <= t[here]]
            frequency[here] += 1
            recency[here] = numpy.ceil(now[here])  # logs have days
            here = here[dice.random(here.size) >= leaves[here]]
        drawn = {"frequency": frequency.astype("int64"), "recency": recency / 7, "t": t / 7}
        engine.register("drawn", pandas.DataFrame(drawn))
        engine.execute(f"COPY drawn TO '{folder / 'fit_drawn.parquet'}'")


def fits(server_connection, folder, rounds):
    """Fits beside lifetimes, from tables on one side and from arrays in memory on the other."""
    from lifetimes import BetaGeoFitter
    problems = []
    for table in ("fit_cdnow", "fit_drawn"):
        with duckdb.connect() as engine:
            data = engine.execute(f"SELECT * FROM '{folder / table}.parquet'").df()
        query = f"SELECT (m).r, (m).alpha, (m).a, (m).b FROM (SELECT bgnbd_fit(frequency, recency, t) AS m FROM {table}) AS s"
        found = server_connection.execute(query).fetchone()
        times = [math.inf, math.inf]
        for _ in range(rounds):
            times[0] = min(times[0], seconds(lambda: server_connection.execute(query).fetchall()))
        for _ in range(rounds if len(data) < FIT_CUSTOMERS else 1):
            fitter = BetaGeoFitter()
            times[1] = min(times[1], seconds(lambda: fitter.fit(data["frequency"], data["recency"], data["t"])))
        theirs = [fitter.params_[name] for name in ("r", "alpha", "a", "b")]
        if not all(math.isclose(a, b, rel_tol=SAME_PARAMETERS) for a, b in zip(found, theirs)):
            problems.append(f"bgnbd_fit of {table}: {found}, lifetimes finds {theirs}")
        times_as_fast = times[1] / times[0]
        print(f"bgnbd_fit of {table}, {len(data)} customers: {times[0] * 1000:.1f} ms, lifetimes {times[1] * 1000:.0f} ms: "
              f"{times_as_fast:.0f} times as fast", flush=True)
        if times_as_fast < FIT_TARGET:
            problems.append(f"bgnbd_fit of {table} is {times_as_fast:.0f} times as fast as lifetimes, not {FIT_TARGET}")
    return problems


def clv(binary, folder):
    """clv() of each country of a million customers, of which one country has a single one."""
    data = folder / "sample"
    subprocess.run([str(binary), "sample", "--scale", str(CLV_SCALE), str(data)], check=True, stderr=subprocess.DEVNULL)
    customers = data / "customers.parquet"
    with duckdb.connect() as engine:
        alone = engine.execute(f"SELECT customer_id FROM '{data}/orders/*/*/*.parquet' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1").fetchone()[0]
        engine.execute(f"""COPY (SELECT * REPLACE (CASE WHEN customer_id = {alone} THEN 'XX' ELSE country END AS country) FROM '{customers}')
            TO '{folder / 'with_one.parquet'}'""")
    (folder / "with_one.parquet").replace(customers)
    server = Server(binary, [data], folder / "clv.log")
    try:
        with connect(server) as connection:
            print("memory before {:.0f} MiB".format(server.memory()[1] / MIB))
            start = time.perf_counter()
            rows = connection.execute("""SELECT country, clv(customer_id, ordered_at, amount, 52, 'week', 0.002)
                FROM orders JOIN customers USING (customer_id) GROUP BY 1 ORDER BY 1""").fetchall()
            took = time.perf_counter() - start
            (orders, buyers), = connection.execute("SELECT count(*), count(DISTINCT customer_id) FROM orders").fetchall()
        print(f"clv of {buyers} customers with {orders} orders in {len(rows)} countries: {took:.1f} s, "
              f"peak memory {server.memory()[1] / MIB:.0f} MiB")
        print("  ".join(f"{country} {'NULL' if amount is None else format(amount, '.2f')}" for country, amount in rows))
    finally:
        server.stop()
    wrong = [country for country, amount in rows if (amount is None) != (country == "XX")]
    return [f"clv of {country} is {'NULL' if country != 'XX' else 'not NULL'}" for country in wrong]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=("",), metavar="NAME,...", help="functions whose names begin so")
    parser.add_argument("--scale", type=float, default=1.0, help="of the tables' rows")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which the best counts")
    parser.add_argument("--clv", action="store_true", help="clv() of a million customers, and nothing else")
    arguments = parser.parse_args()
    binary, problems = arguments.binary.resolve(), []
    with tempfile.TemporaryDirectory(prefix="functions-bench-") as folder:
        folder = Path(folder)
        if arguments.clv:
            problems = clv(binary, folder)
        else:
            data = folder / "data"
            data.mkdir()
            metrics = [metric for metric in METRICS if metric.name.startswith(arguments.only)]
            fit = "bgnbd_fit".startswith(arguments.only)
            if metrics:
                write_tables(data, arguments.scale)
            if fit:
                write_fits(data)
            server = Server(binary, [data], folder / "server.log")
            try:
                with connect(server) as ours, duckdb.connect() as duck:
                    for name in TABLES if metrics else ():
                        duck.execute(f"CREATE VIEW {name} AS SELECT * FROM '{data / name}.parquet'")
                    print(f"{'':42} {'function':>8} {'plain':>8} {'ratio':>6} {'DuckDB':>8} {'ratio':>6}   ms, best of {arguments.rounds}")
                    for metric in metrics:
                        for grouped in (False, True)[:1 + metric.grouped]:
                            try:
                                problems += measure(metric, grouped, ours, duck, arguments.rounds)
                            except (psycopg.Error, duckdb.Error) as error:
                                problems.append(f"{metric.name}: {type(error).__module__} {error}")
                    if fit:
                        problems += fits(ours, data, arguments.rounds)
            finally:
                server.stop()
    print(*problems, sep="\n")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
