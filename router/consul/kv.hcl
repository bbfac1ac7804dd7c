# What the token of a consul-kv must be allowed, and no more. It may be narrowed to the environments there are, such as
# "viridian/shop/", with the key "viridian/incarnation" besides.
key_prefix "viridian/" {
  policy = "write"
}
