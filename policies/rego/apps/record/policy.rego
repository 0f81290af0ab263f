# METADATA
# title: Records
# description: |
#   An example of an application that brings its own facts: who there is, and which records. What is stored beats
#   what the asker claims; the asker's properties only add to it. It is the fixture of the AuthZEN certification. Of
#   subjects and records that are not in data.yaml it says nothing: grants decide.
# schemas:
#   - input: schema.input
package apps.record

# METADATA
# title: Permit
# description: |
#   The reasons to permit.
# labels:
#   rule: record.permit
# scope: document
permit contains "record.reader" if {
	input.action.name == "read"
	subject
	stored
}

permit contains "record.owner" if {
	input.action.name == "write"
	record.owner == input.subject.id
	record.status == "active"
	subject
}

# What is deleted softly can be brought back.
permit contains "record.owner" if {
	input.action.name == "delete"
	record.owner == input.subject.id
	input.action.properties.soft == true
	subject
}

permit contains "record.admin" if {
	input.action.name == "write"
	record.status == "archived"
	subject.role == "admin"
}

permit contains "record.granted" if {
	input.subject.exists
	data.writ.decision.granted
}

# METADATA
# title: Candidates
# description: |
#   What searches look through: each candidate is asked about by itself.
# labels:
#   rule: record.candidates
candidates := {
	"subjects": data.apps.record.subjects,
	"resources": {"record": data.apps.record.records},
	"actions": {"record": ["read", "write", "delete"]},
}

# METADATA
# title: Subject
# description: |
#   What is stored of the subject, and what the asker adds. Undefined for one that is not stored.
# labels:
#   rule: record.subject
subject := object.union(input.subject.properties, data.apps.record.subjects[input.subject.type][input.subject.id])

# METADATA
# title: Stored record
# description: |
#   What is stored of the record. Undefined for one that is not.
# labels:
#   rule: record.stored
stored := data.apps.record.records[input.resource.id] if input.resource.type == "record"

# METADATA
# title: Record
# description: |
#   What is stored of the record, and what the asker adds.
# labels:
#   rule: record.record
record := object.union(input.resource.properties, stored)
