"""The published and computed figures of the CDNOW purchases (Fader & Hardie, note 026), asked through psql."""
import psql

FILES = ("cdnow_master.parquet", "cdnow_sample.parquet")
PERIODS = "customer_id, date, DATE '1997-04-01', DATE '1997-07-01', DATE '1997-10-01'"
PER_CUSTOMER = """(SELECT customer_id, max(date) AS last_order, count(*) AS orders, sum(amount) AS amount
                   FROM cdnow_sample GROUP BY customer_id) c"""
F_SCORES = {"1": 1205, "3": 406, "4": 358, "5": 388}
CODES11 = {"About To Sleep": 193, "At Risk": 58, "Cannot Lose Them": 173, "Champions": 537, "Hibernating": 337,
           "Lost": 319, "Loyal Customers": 157, "Need Attention": 167, "New Customers": 147, "Potential Loyalists": 177,
           "Promising": 92}
GRID10 = {"About To Sleep": 345, "At Risk": 90, "Cannot Lose Them": 3, "Champions": 414, "Hibernating": 860,
          "Loyal Customers": 315, "Need Attention": 84, "Potential Loyalists": 246}
# name: (statement, figure, digits behind the point that are known)
SINGLE = {
    "rows": ("SELECT count(*) FROM cdnow_master", 69_659, 0),
    "aov": ("SELECT aov(amount) FROM cdnow_master", 35.893648, 6),
    "purchase_frequency": ("SELECT purchase_frequency(customer_id) FROM cdnow_master", 2.955409, 6),
    "repeat_purchase_rate": ("SELECT repeat_purchase_rate(customer_id) FROM cdnow_master", 0.494782, 6),
    "clv": ("SELECT clv(customer_id, amount) FROM cdnow_master", 106.0804, 4),
    "retention_rate": (f"SELECT retention_rate({PERIODS}) FROM cdnow_master", 2289 / 5376, 12),
    "churn_rate": (f"SELECT churn_rate({PERIODS}) FROM cdnow_master", 1 - 2289 / 5376, 12),
}


def served(context):
    """The folder of copies in tests/data, served as it lies there."""
    data = context.root / "tests" / "data"
    for name in FILES:
        if not (data / name).exists():
            raise FileNotFoundError(2, "not in the repository", str(data / name))
    return context.server(cdnow_data)


def cdnow_data(_work):
    from run import ROOT
    return ROOT / "tests" / "data"


def counts(server, sql):
    return {label: int(count) for label, count in (line.rsplit("|", 1) for line in psql.value(server, sql).splitlines())}


def single(sql, wanted, digits):
    def run(context):
        found = float(psql.value(served(context), sql))
        context.note(f"{found!r}")
        assert round(found, digits) == round(wanted, digits), f"{found} instead of {wanted}"
    return run


def distribution(label, wanted):
    def run(context):
        found = counts(served(context), f"SELECT label, count(*) FROM (SELECT {label} AS label FROM {PER_CUSTOMER}) s "
                                        "GROUP BY label ORDER BY label")
        assert found == wanted, f"{found} instead of {wanted}"
    return run


def cases():
    found = [(name, single(*figures)) for name, figures in SINGLE.items()]
    scores = "quantile_score(last_order) OVER (), quantile_score(orders) OVER ()"
    return found + [
        ("quantile_score", distribution("quantile_score(orders) OVER ()", F_SCORES)),
        ("rfm_segment_over", distribution("rfm_segment(last_order, orders, amount) OVER ()", CODES11)),
        ("rfm_segment_codes11", distribution(f"rfm_segment({scores}, quantile_score(amount) OVER ())", CODES11)),
        ("rfm_segment_grid10", distribution(f"rfm_segment({scores})", GRID10)),
    ]
