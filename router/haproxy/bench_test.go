package haproxy

import "testing"

// BenchmarkApply is a flip with its files, as one Viridian does it after another.
func BenchmarkApply(b *testing.B) {
	l := newLab(b)
	l.stage(0, 1, 2)
	revision := int64(0)
	for b.Loop() {
		revision++
		if err := l.tryApply(revision, all(1+int(revision)%2)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkObserve is what is asked of each node twice a second.
func BenchmarkObserve(b *testing.B) {
	l := newLab(b)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	for b.Loop() {
		l.observe()
	}
}
