// Package catalog is the metadata of a library on this machine, in Badger: the replicated records
// of the log, what is derived from them, and what only this machine knows.
//
// The catalog follows a remote.Log. View reads it. Update runs an operation on it: the operation's
// writes are visible on this machine at once, its intent is kept in the outbox, and a single
// goroutine turns the outbox into commits, appends them to the log and settles conflicts: when
// another machine's commit comes first, the local writes are undone, the commit is applied and the
// intents run again on the new state. Applying a commit is one Badger transaction, so a crash
// leaves the catalog as it was after some commit plus the outbox.
//
// Keys in Badger are a class letter and a key: R replicated records and counters, D other derived
// records (listing order, parents), L local records, U undo records (the value of a key at the
// applied commit, for every key that an operation in the outbox has changed).
//
// Beside Badger's files the directory holds the batch that is on its way (pin), the marker of who
// uses it (in-use) and a lock. A machine that slept past the trimming of the log, or lost its
// power, fetches the newest checkpoint and the log after it whole, and only then puts them in the
// place of what it had.
//
// The package knows no file system rules: what an operation does is given to it as a function. It
// never does I/O on contents.
package catalog
