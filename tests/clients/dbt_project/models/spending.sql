select customer_id, sum(amount) as spent, count(*) as orders
from {{ source('shop', 'orders') }}
group by customer_id
