// Package rustici speaks as the API of Rustici Generator does where it is about credentials: the login, the credentials with what each may do,
// the own credential, and the tenants.
//
// Owns: the table of routes, the closed table of SUBJECT and VERB, and the names of that system for what Writ has. A credential is an
// application, its password a secret that the caller chose, its scopes are grants in every tenant, its tenants grants in one each.
//
// Does not own: who may do what, and everything else that is natively Writ's. What differs by dialect is policy data,
// settings.dialects.rustici: secrets are chosen, what is deleted is inactive first, whoever may write credentials may delete them, an
// application signs in by both grants, a caller with rights in single tenants names one, and rights in a disabled tenant stay as they are.
//
// Invariants:
//   - No reply has a password.
//   - A pair of SUBJECT and VERB that the table has not is refused, and never stored as something else.
//   - Scopes and tenants are one list of rights here: a request that names one of the two sets both. It never reads first what it then writes.
//
// What the documents of the product leave open, and what is done here:
//   - The table of SUBJECT and VERB: JOBS, CONTENT, CREDENTIALS and APP_MANAGEMENT (the tenants), each with READ and WRITE. WRITE does not
//     imply READ. Other rights of an application are not shown, and a request that sets rights takes them away.
//   - A list is {"items": [...], "next": cursor}, as natively, with limit and after.
//   - A request names its tenant by the parameter tenant: of a list, of the form of the login, and of a new credential, which then belongs to it.
//   - A new credential is answered with 201 and the credential; a refused one with 403, whether or not there is one of that id, and 409 where
//     there is one and the caller may create it. An update is 200, a deletion 204. Errors are native.
//   - Updating a credential or a tenant that is not there is 404: PUT makes none.
//   - The nonce may be 300 seconds from the server's clock; policy data says otherwise (token.nonce_window_seconds).
//   - The own credential may be sent back whole: its own id, and is_active where it is true, change nothing.
package rustici
