// Package remote is the contract between mediafs and the places where libraries live.
//
// A newcomer reads remote.go first. A store keeps a library: a tree of nodes and
// the contents of its media. Every store offers Store; the tree is reached through
// exactly one of two more interfaces: Log, for stores that keep an ordered log of
// commits and leave the rest to the client (remote/bucket), or Tree, for services
// that answer one call at a time.
//
// Retries have one owner a layer: Log retries its own appends until its context
// ends, because only it knows whether an append in doubt happened; what else
// remote/bucket sends, uploads among it, it sends again a bounded number of times;
// reads of contents are retried by cache/block alone; remote/object and
// remote/transport never retry.
//
// The package imports the standard library only and does no I/O of its own.
package remote
