# METADATA
# title: Postings
# description: |
#   An example of a ledger with limits: who may book or approve is a grant in the tenant of the posting; up to which
#   amount is said by the tenant, in the data, and by the attribute "posting_limit" of the subject, an object of amounts
#   by currency, which administrators set. Both bind. Nobody approves what they booked themselves. The asker sends the
#   "amount", a number, the "currency" and "booked_by" as properties of the resource.
# schemas:
#   - input: schema.input
package apps.posting

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: posting.permit
# scope: document
permit contains "posting.granted" if {
	input.subject.exists
	data.writ.decision.granted
}
