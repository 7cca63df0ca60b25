module baton/bench/peers

go 1.19
