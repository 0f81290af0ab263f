package main

import (
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
)

// failure is an answer with ok: 0, or one entry of writeErrors.
type failure struct {
	code    int32
	message string
	labels  []string
	details bson.D // more fields of the answer, as keyPattern of a duplicate key
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s (%d): %s", codeName(f.code), f.code, f.message)
}

func fail(code int32, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...)}
}

// refuse is the answer to everything that the stand-in does not know.
func refuse(format string, args ...any) *failure {
	return fail(codeNotImplemented, "mongowire, a stand-in for tests, does not implement "+format, args...)
}

// conflict is the loser's answer of two writers of whom at least one is a transaction.
func conflict() *failure {
	f := fail(codeWriteConflict, "WriteConflict: this operation conflicted with another operation. Please retry the transaction.")
	f.labels = []string{transientTransaction}
	return f
}

func noTransaction(number int64) *failure {
	f := fail(codeNoSuchTransaction, "Given transaction number %d does not match any in-progress transaction.", number)
	f.labels = []string{transientTransaction}
	return f
}

const transientTransaction = "TransientTransactionError"

const (
	codeInternalError         = 1
	codeBadValue              = 2
	codeFailedToParse         = 9
	codeUnauthorized          = 13
	codeTypeMismatch          = 14
	codeAuthenticationFailed  = 18
	codeIllegalOperation      = 20
	codeNamespaceNotFound     = 26
	codeIndexNotFound         = 27
	codePathNotViable         = 28
	codeConflictingOperators  = 40
	codeCursorNotFound        = 43
	codeNamespaceExists       = 48
	codeMaxTimeMSExpired      = 50
	codeInvalidIDField        = 53
	codeImmutableField        = 66
	codeCannotCreateIndex     = 67
	codeInvalidOptions        = 72
	codeInvalidNamespace      = 73
	codeIndexOptionsConflict  = 85
	codeIndexKeySpecsConflict = 86
	codeShutdownInProgress    = 91
	codeUnsatisfiable         = 100
	codeWriteConflict         = 112
	codeConflictingOperation  = 117
	codeParallelArrays        = 171
	codeIncompleteHistory     = 217
	codeTransactionTooOld     = 225
	codeNotImplemented        = 238
	codeSnapshotTooOld        = 239
	codeNoSuchTransaction     = 251
	codeTransactionCommitted  = 256
	codeNotInTransaction      = 263
	codeAPIVersion            = 322
	codeAPIStrict             = 323
	codeUnsupportedOpQuery    = 352
	codeObjectTooLarge        = 10334
	codeDuplicateKey          = 11000
)

func codeName(code int32) string {
	switch code {
	case codeInternalError:
		return "InternalError"
	case codeBadValue:
		return "BadValue"
	case codeFailedToParse:
		return "FailedToParse"
	case codeUnauthorized:
		return "Unauthorized"
	case codeTypeMismatch:
		return "TypeMismatch"
	case codeAuthenticationFailed:
		return "AuthenticationFailed"
	case codeIllegalOperation:
		return "IllegalOperation"
	case codeNamespaceNotFound:
		return "NamespaceNotFound"
	case codeIndexNotFound:
		return "IndexNotFound"
	case codePathNotViable:
		return "PathNotViable"
	case codeConflictingOperators:
		return "ConflictingUpdateOperators"
	case codeCursorNotFound:
		return "CursorNotFound"
	case codeNamespaceExists:
		return "NamespaceExists"
	case codeMaxTimeMSExpired:
		return "MaxTimeMSExpired"
	case codeInvalidIDField:
		return "InvalidIdField"
	case codeImmutableField:
		return "ImmutableField"
	case codeCannotCreateIndex:
		return "CannotCreateIndex"
	case codeInvalidOptions:
		return "InvalidOptions"
	case codeInvalidNamespace:
		return "InvalidNamespace"
	case codeIndexOptionsConflict:
		return "IndexOptionsConflict"
	case codeIndexKeySpecsConflict:
		return "IndexKeySpecsConflict"
	case codeShutdownInProgress:
		return "ShutdownInProgress"
	case codeUnsatisfiable:
		return "UnsatisfiableWriteConcern"
	case codeWriteConflict:
		return "WriteConflict"
	case codeConflictingOperation:
		return "ConflictingOperationInProgress"
	case codeParallelArrays:
		return "CannotIndexParallelArrays"
	case codeIncompleteHistory:
		return "IncompleteTransactionHistory"
	case codeTransactionTooOld:
		return "TransactionTooOld"
	case codeNotImplemented:
		return "NotImplemented"
	case codeSnapshotTooOld:
		return "SnapshotTooOld"
	case codeNoSuchTransaction:
		return "NoSuchTransaction"
	case codeTransactionCommitted:
		return "TransactionCommitted"
	case codeNotInTransaction:
		return "OperationNotSupportedInTransaction"
	case codeAPIVersion:
		return "APIVersionError"
	case codeAPIStrict:
		return "APIStrictError"
	case codeUnsupportedOpQuery:
		return "UnsupportedOpQueryCommand"
	case codeObjectTooLarge:
		return "BSONObjectTooLarge"
	case codeDuplicateKey:
		return "DuplicateKey"
	}
	return fmt.Sprintf("Location%d", code)
}
