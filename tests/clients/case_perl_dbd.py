"""Perl's DBD::Pg: perl_dbd.pl."""
import programs

NAMES = ["connect", "query", "parameters", "types_text", "prepared", "cursor", "copy", "cancel", "errors", "transactions", "metadata"]


def cases():
    return programs.cases(NAMES, lambda context: ["perl", programs.HERE / "perl_dbd.pl"])
