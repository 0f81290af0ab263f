package mongo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/writ-authz/writ/storage"
)

// Codes of the server, by their names in its source (src/mongo/base/error_codes.yml).
const (
	codeUnauthorized         = 13
	codeAuthenticationFailed = 18
	codeNamespaceNotFound    = 26
	codeTransactionTooOld    = 225
	codeNoSuchTransaction    = 251
	codeTransactionCommitted = 256
	codeAtlasError           = 8000 // authentication and limits of a hosted cluster
	codeDuplicateKey         = 11000
)

// transient is the label of an error after which a whole transaction may be tried again; unknownCommit that of a commit of which
// it is not known whether it took place.
const (
	transient     = "TransientTransactionError"
	unknownCommit = "UnknownTransactionCommitResult"
)

var (
	errClosed    = fmt.Errorf("the store is closed: %w", storage.ErrUnavailable)
	errOver      = fmt.Errorf("the transaction is over: %w", storage.ErrUnavailable)
	errNoPrimary = fmt.Errorf("mongodb: no primary is known: %w", storage.ErrUnavailable)
	// errLost is a transaction that the server aborted because of another one. As an ErrStale it is no answer about a version.
	errLost = fmt.Errorf("mongodb: another transaction was faster: %w", storage.ErrStale)
)

// ended is the error of a call whose context is done.
func ended(ctx context.Context) error { return fmt.Errorf("%w: %w", storage.ErrUnavailable, ctx.Err()) }

// failed maps an error of the driver that is no answer about the data. Its text goes along, not the error: nothing outside this
// package depends on the driver's types.
func failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if lost(err) {
		return errLost
	}
	return fmt.Errorf("mongodb: %w: %s", storage.ErrUnavailable, text(err))
}

// lost says that a transaction was aborted because of another one. What the server labels so while it has no primary or shuts
// down is an outage; that comes with no reply or with one of these codes.
func lost(err error) bool {
	var reply mongo.CommandError
	if !errors.As(err, &reply) || !reply.HasErrorLabel(transient) || reply.HasErrorLabel("NetworkError") {
		return false
	}
	// HostUnreachable, HostNotFound, NetworkTimeout, ShutdownInProgress, PrimarySteppedDown, ExceededTimeLimit, SocketException,
	// NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary.
	outage := []int{6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}
	return !slices.ContainsFunc(outage, reply.HasErrorCode)
}

// text is the message of an error without the values of documents: a duplicate key names them, and those are not for a log.
func text(err error) string {
	if mongo.IsDuplicateKeyError(err) {
		return "duplicate key"
	}
	return err.Error()
}

// refusal returns the server's own answer in err, or nil where the server did not answer.
func refusal(err error) mongo.ServerError {
	var answer mongo.ServerError
	if errors.As(err, &answer) && !mongo.IsNetworkError(err) && !mongo.IsTimeout(err) {
		return answer
	}
	return nil
}

// unreachable says why the first command did not get its answer, and what to do.
func unreachable(err error, patience time.Duration) error {
	answer := refusal(err)
	switch {
	case answer != nil && (answer.HasErrorCode(codeAuthenticationFailed) || answer.HasErrorCode(codeAtlasError)),
		strings.Contains(err.Error(), "auth error"):
		return errors.New("the server refuses the credentials; check user, password and authSource of the connection string")
	case answer != nil && answer.HasErrorCode(codeUnauthorized):
		return errors.New("the server wants credentials; put user and password into the connection string")
	}
	return fmt.Errorf("no primary answered within %s; check that the server runs, its address and the name of the replica set: "+
		"%w: %s", patience, storage.ErrUnavailable, err.Error())
}

// forbidden names the missing right where that is what err is about.
func forbidden(err error, database string) error {
	if answer := refusal(err); answer != nil && answer.HasErrorCode(codeUnauthorized) {
		return fmt.Errorf("the user may not do that; give it the role readWrite on the database %s (or a role with find, insert, "+
			"update, remove, createCollection, createIndex, dropIndex and listIndexes on it)", database)
	}
	return fmt.Errorf("%w: %s", storage.ErrUnavailable, text(err))
}

// unparsed is what the driver says of a connection string, without the part that can hold credentials.
func unparsed(uri string, err error) string {
	message := err.Error()
	_, rest, found := strings.Cut(uri, "://")
	if !found {
		rest = uri
	}
	authority, _, _ := strings.Cut(rest, "/")
	secrets := []string{uri, rest}
	// Everything before the last "@" is user and password, also where a character in it should have been escaped.
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		credentials := rest[:at]
		user, password, _ := strings.Cut(credentials, ":")
		secrets = append(secrets, authority, credentials, user, password)
		if plain, err := url.PathUnescape(password); err == nil {
			secrets = append(secrets, plain)
		}
	}
	for _, secret := range secrets {
		if secret != "" {
			message = strings.ReplaceAll(message, secret, "…")
		}
	}
	return message + "; it looks like mongodb://user:password@host1,host2/database?replicaSet=name, with special characters percent-encoded"
}
