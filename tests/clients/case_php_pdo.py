"""PHP's PDO driver and its pg_ functions: php_pdo.php."""
import programs

NAMES = ["connect", "query", "parameters", "parameters_emulated", "types_text", "prepared", "cursor", "copy", "errors", "transactions",
         "metadata"]


def cases():
    return programs.cases(NAMES, lambda context: ["php", programs.HERE / "php_pdo.php"])
