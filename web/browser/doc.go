// Package browser holds the tests of the pages in a real browser: Playwright drives Debian's Chromium against a running
// "viridian dev". It has no code of its own, only tests; those in JavaScript are the *.spec.js files, and world.js is
// what they have in common. The packages that they need are pinned in package-lock.json and put into node_modules by
// scripts/install; building Viridian needs none of them.
//
// Screenshots of every page are left in results/, which is not kept in version control.
//
// Start reading at browser_test.go.
package browser
