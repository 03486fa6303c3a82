// What relay-compiler reads; it writes the artifacts that relay.ts runs. Never loaded: the tag wants Babel.
import relay from 'relay-runtime';

const { graphql } = relay;

export const documents = [
  graphql`
    query contactListQuery($first: Int!) {
      ...contactList_page @arguments(first: $first)
    }
  `,
  // A pagination container: @refetchable on Query, @connection on edges, cursor and pageInfo.
  graphql`
    fragment contactList_page on Query
    @argumentDefinitions(first: { type: "Int", defaultValue: 50 }, after: { type: "String" })
    @refetchable(queryName: "contactListPaginationQuery") {
      contacts(first: $first, after: $after) @connection(key: "contactList_contacts") {
        edges {
          node {
            id
            ...contactList_row
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  // Refetchable on a Node: the compiler makes a query over `node(id:)` of it.
  graphql`
    fragment contactList_row on Contact @refetchable(queryName: "contactListRowQuery") {
      email
      firstName
    }
  `,
  graphql`
    mutation contactListUpdateMutation($input: UpdateContactInput!) {
      updateContact(input: $input) {
        contact {
          ...contactList_row
        }
        userErrors {
          code
          field
        }
      }
    }
  `,
  graphql`
    subscription contactListWorkflowSubscription($id: ID!) {
      workflowProgress(id: $id) {
        name
      }
    }
  `,
];
