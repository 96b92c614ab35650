// Package transfer takes what is elsewhere into a library, and writes down what a library has.
//
// ImportObjects refers to objects that lie in the library's bucket, CopyTree copies a local folder
// through a mount, ImportRecords lays the records of an export over media. What has to be done is
// found out by comparing with the catalog as it is in the store, in a copy that goes when it is
// done; changes are made in batches by whoever has the library open, with ApplyObjects and
// ApplyRecords. Export writes the tree and the records of a library as JSON.
package transfer
