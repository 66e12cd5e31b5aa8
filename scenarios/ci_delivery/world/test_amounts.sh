# owner: Quality
expect base_amount "$(base_amount 3 410.5)" 1231.50
expect surcharge_12 "$(with_surcharge 200 12)" 224.00
expect surcharge_0 "$(with_surcharge 200 0)" 200.00
expect discount_below "$(discounted 500 99)" 500.00
expect discount_from_100 "$(discounted 500 100)" 475.00
expect discount_above "$(discounted 500 250)" 475.00
