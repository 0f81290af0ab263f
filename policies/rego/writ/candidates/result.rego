# METADATA
# title: Candidates
# description: |
#   What an application policy knows of that which a question leaves out, for searches: data.apps.<type>.candidates
#   has subjects by their type, and resources and actions by the type of the resource. It may be data, rules or both.
#   It permits nothing: each candidate is asked about by itself.
# schemas:
#   - input: schema.input
package writ.candidates

# METADATA
# title: Answer
# description: |
#   Subjects for a question without the id of a subject, resources for one without that of a resource, else actions.
# entrypoint: true
# labels:
#   rule: candidates.result
# scope: document
default result := {"candidates": []}

result := {"candidates": names(application.subjects[input.subject.type])} if {
	input.subject.id == ""
} else := {"candidates": names(application.resources[input.resource.type])} if {
	input.resource.id == ""
} else := {"candidates": names(application.actions[input.resource.type])} if {
	input.action.name == ""
}

# METADATA
# title: Application
# description: |
#   The candidates of the application that the first segment of the resource's type names.
# labels:
#   rule: candidates.application
application := data.apps[split(input.resource.type, "/")[0]].candidates

# METADATA
# title: Names
# description: |
#   Names are the members of a list or a set, and the keys of an object.
# labels:
#   rule: candidates.names
# scope: document
names(given) := [name | some name in given] if is_array(given)

names(given) := [name | some name in given] if is_set(given)

names(given) := object.keys(given) if is_object(given)
