// Package bench measures two things beside the least that would do the same work: the builtin router beside a plain
// reverse proxy and HAProxy, and a promote beside its rows and its file written by a bare handler. And it measures what
// an open page costs, its server and Chromium, beside what it may.
//
// The tests run only where VIRIDIAN_BENCH=1 (make bench). What is compared runs in processes of its own, in short
// rounds that take turns, and the printed ratios are medians of ratios within a round: a busy machine moves both
// sides. A missed goal is printed and fails nothing. With -short there are fewer rounds; VIRIDIAN_BENCH_PROFILE names
// a folder for CPU profiles of the processes that are ours.
//
// Start reading at main_test.go, then proxy_test.go and promote_test.go.
package bench
