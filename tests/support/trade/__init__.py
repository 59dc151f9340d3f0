"""A market in which everything that moves money happens, with a Stripe beside it that outlives the service.

`market` is people, their clicks and what they were told; `paying`, `selling` and `cashing` are what they do, and
`faults` what Stripe does to all that; `kills` ends the service meanwhile; `reckoning` compares in the end what the
service believes with what Stripe's sandbox holds, one by one.
"""
