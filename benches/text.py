#!/usr/bin/env python3
"""How often the text functions are right: beside what people said of the same texts, and beside VADER.

    python3 -m venv target/functions-env
    target/functions-env/bin/pip install 'psycopg[binary]' duckdb vaderSentiment
    target/functions-env/bin/python benches/text.py target/release/loyalhouse

Sentiment, English: the texts of Hutto and Gilbert (VADER, ICWSM 2014), each rated by twenty people from -4 to 4, which come
with the source package of vaderSentiment. A mean rating of 0.2 or more is positive, -0.2 or less negative, as 0.05 of
1 is for sentiment_label(). Languages: single words, pairs of words and sentences of newspapers, the test data of the
lingua language models. Both are fetched into CORPORA once, with pip and cargo.

For Russian and Ukrainian sentiment, for topics and for kinds of reviews no labelled texts are within such reach.
"""
import argparse
import importlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import duckdb
import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "clients"))
from server import Server  # noqa: E402

CORPORA = ROOT / "target" / "text-corpora"
FETCH_LIMIT = 300  # seconds
VADER = "vaderSentiment==3.3.2"
RATED = {"tweets": "tweets", "amazonReviewSnippets": "Amazon reviews, sentences", "movieReviewSnippets": "film reviews, sentences",
         "nytEditorialSnippets": "editorials, sentences"}
RATED_POSITIVE = 0.2
TONE_POSITIVE = 0.05
MODELS = {"en": "lingua-english-language-model", "ru": "lingua-russian-language-model", "uk": "lingua-ukrainian-language-model"}
MODEL_VERSION = "=1.3.0"
KINDS = ("single-words", "word-pairs", "sentences")
LABELS = ("positive", "neutral", "negative")


def run(command, folder):
    return subprocess.run(command, cwd=folder, check=True, timeout=FETCH_LIMIT, stdout=subprocess.PIPE, text=True).stdout


def rated_texts(folder):
    """(corpus, mean rating, text) of the English texts."""
    if not list(folder.glob("vaderSentiment-*.tar.gz")):
        run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", VADER], folder)
    with tarfile.open(next(folder.glob("vaderSentiment-*.tar.gz"))) as package:
        inner = next(name for name in package.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=package.extractfile(inner)) as texts:
            for name in RATED:
                member = next(path for path in texts.getnames() if path.endswith(f"/{name}_GroundTruth.txt"))
                for line in texts.extractfile(member).read().decode("latin-1").splitlines():
                    _, rating, text = line.split("\t")
                    yield name, float(rating), text


def texts_of_languages(folder):
    """(language, kind, text)."""
    project = folder / "languages"
    if not project.exists():
        (project / "src").mkdir(parents=True)
        (project / "src" / "lib.rs").touch()
        wanted = "".join(f'{crate} = "{MODEL_VERSION}"\n' for crate in MODELS.values())
        manifest = '[package]\nname = "languages"\nedition = "2021"\n[workspace]\n[dependencies]\n'
        (project / "Cargo.toml").write_text(manifest + wanted)
    packages = json.loads(run(["cargo", "metadata", "--format-version", "1"], project))["packages"]
    for language, crate in MODELS.items():
        manifest = next(package["manifest_path"] for package in packages if package["name"] == crate)
        for kind in KINDS:
            path = Path(manifest).parent / "testdata" / f"{kind}.txt"
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    yield language, kind, line.strip()


def write(table, columns, rows, data):
    """A table of the server out of tuples."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE {table} ({columns})")
        rows = list(rows)
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.execute(f"COPY {table} TO '{data / table}.parquet'")


def scores(pairs):
    """Accuracy and the mean F1 of the labels, of how often each pair of (what people say, what is found) comes."""
    total = sum(pairs.values())
    right = sum(count for (truth, found), count in pairs.items() if truth == found)
    f1 = []
    for label in LABELS:
        hits = pairs[label, label]
        named = sum(count for (truth, found), count in pairs.items() if label in (truth, found)) + hits
        f1.append(2 * hits / named if named else 0.0)
    return right / total, sum(f1) / len(f1)


def label(value, positive):
    return "positive" if value >= positive else "negative" if value <= -positive else "neutral"


def report_sentiment(connection):
    vader = importlib.import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    print("| English texts | texts | most frequent label | right | mean F1 | r | VADER right | mean F1 |")
    print("|---|---|---|---|---|---|---|---|")
    for name, title in RATED.items():
        rows = connection.execute(
            "SELECT rating, sentiment_label(body, 'en'), body FROM rated WHERE corpus = %s", [name]).fetchall()
        (r,), = connection.execute("SELECT corr(rating, sentiment(body, 'en')) FROM rated WHERE corpus = %s", [name]).fetchall()
        ours, theirs, people = Counter(), Counter(), Counter()
        for rating, found, body in rows:
            truth = label(rating, RATED_POSITIVE)
            people[truth] += 1
            ours[truth, found] += 1
            theirs[truth, label(vader.polarity_scores(body)["compound"], TONE_POSITIVE)] += 1
        (accuracy, f1), (vader_accuracy, vader_f1) = scores(ours), scores(theirs)
        print(f"| {title} | {len(rows):,} | {max(people.values()) / len(rows):.3f} | {accuracy:.3f} | {f1:.3f} | {r:.3f} "
              f"| {vader_accuracy:.3f} | {vader_f1:.3f} |")


def report_languages(connection):
    print("\n| Texts | en right | ru right | uk right |\n|---|---|---|---|")
    found = {(language, kind): right for language, kind, right in connection.execute("""
        SELECT language, kind, avg(CASE WHEN detect_language(body) = language THEN 1.0 ELSE 0.0 END)
        FROM languages GROUP BY 1, 2""").fetchall()}
    for kind in KINDS:
        print(f"| {kind} | " + " | ".join(f"{found[language, kind]:.3f}" for language in MODELS) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--corpora", type=Path, default=CORPORA, help="where texts are kept; default target/text-corpora")
    arguments = parser.parse_args()
    arguments.corpora.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        write("rated", "corpus text, rating double, body text", rated_texts(arguments.corpora), data)
        write("languages", "language text, kind text, body text", texts_of_languages(arguments.corpora), data)
        server = Server(arguments.binary.resolve(), [data], Path(folder) / "server.log")
        try:
            with psycopg.connect(host=server.host, port=server.port, user="bench", dbname="loyalhouse", autocommit=True) as connection:
                report_sentiment(connection)
                report_languages(connection)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
