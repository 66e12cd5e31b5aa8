# owner: Quality
expect whole_down "$(whole 17.2)" 17
expect whole_up "$(whole 17.8)" 18
expect whole_half_commercial "$(whole 2.5)" 3
expect whole_half_even "$(whole 2.5)" 2
