package server

import "viridian/store"

// number is a generation's number as the contract shows it: left out for none.
func number(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// given is the value of an optional field, or its zero value.
func given[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}

// orEmpty makes a list that is shown as [] when there is nothing in it.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// text is an optional text: left out when it is empty.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func paging(limit *int, cursor *string) store.Paging {
	return store.Paging{Limit: given(limit), Cursor: given(cursor)}
}

func cursor(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}
