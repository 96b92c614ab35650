// Package operation has the rules of the library: what each operation does to the records of the
// catalog.
//
// An operation sees the state of the catalog and its intent and nothing else: no clock, no random
// numbers, no configuration, no engine. So it does the same wherever and whenever it runs again:
// after another machine was first, after a crash, on the state that others have made meanwhile
// (late.go). Run carries out any of them; the run functions are in files named for what they
// change.
package operation
