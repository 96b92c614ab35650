// Package catalog is the metadata of a library on this machine, in Badger: the replicated records of the log, what is derived from
// them, and what only this machine knows.
//
// The catalog follows a remote.Log. View reads it. Update runs an operation on it: the operation's writes are visible on this
// machine at once, its intent is kept in the outbox, and a single goroutine turns the outbox into commits, appends them to the log
// and settles conflicts: when another machine's commit comes first, the local writes are undone, the commit is applied and
// the intents run again on the new state. Applying a commit is one Badger transaction, so a crash leaves the catalog as it was
// after some commit plus the outbox.
//
// Keys in Badger are a class letter and a key: R replicated records and counters, D other derived records (listing order,
// parents), L local records, U undo records (the value of a key at the applied commit, for every key that an
// operation in the outbox has changed).
//
// The package knows no file system rules: what an operation does is given to it as a function. It never does I/O on contents.
package catalog
